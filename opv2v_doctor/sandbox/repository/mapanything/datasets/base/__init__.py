"""What every dataset shares: arithmetic, sampling, views."""
