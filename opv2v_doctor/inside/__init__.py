"""What runs in the training interpreter: Python >= 3.8, and nothing of opv2v_doctor."""
