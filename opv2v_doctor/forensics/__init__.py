"""Forensics: what checkpoint files say, each by itself and against one another, without running them."""
