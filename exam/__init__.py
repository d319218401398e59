"""The exam: random faults that nobody listed, and healthy variations; what the doctor says of both."""
