"""``ops backup``: what is stored, a run now, a proof that it can be read, and restores (requirement D1)."""
