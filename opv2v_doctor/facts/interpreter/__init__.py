"""The interpreter: the process of the training interpreter, and the questions that it is asked."""
