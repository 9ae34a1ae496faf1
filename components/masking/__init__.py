"""What the gate masks, by examples, and how others compute its pseudonyms; the masking is ``collector/masking``."""
