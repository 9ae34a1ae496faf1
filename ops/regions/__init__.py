"""Two regions: which region is active, and how one takes over from the other (requirement D3)."""
