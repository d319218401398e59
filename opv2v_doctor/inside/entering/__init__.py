"""What a launch has in front of its PYTHONPATH: how the watch enters the ranks, whoever starts them."""
