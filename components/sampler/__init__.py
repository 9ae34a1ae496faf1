"""Sampler: keeps the traces that matter, and measures every span before it decides."""
