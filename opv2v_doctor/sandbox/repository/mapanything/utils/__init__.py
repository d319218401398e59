"""Parts that training and inference share."""
