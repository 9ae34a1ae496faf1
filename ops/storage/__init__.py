"""Volumes: how large they are, how large the stack's settings want them, and how they grow."""
