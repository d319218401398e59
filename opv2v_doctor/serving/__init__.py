"""Showing results in a browser: which folders hold any, and a read-only server of one directory."""
