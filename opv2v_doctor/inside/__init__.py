"""What runs in the training interpreter. Imports nothing of opv2v_doctor; Python >= 3.8, standard library first."""
