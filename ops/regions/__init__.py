"""Two regions: who tells people, and how one takes over from the other (requirement D3)."""
