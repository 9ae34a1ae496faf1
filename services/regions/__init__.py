"""Which of two regions is active: what the witness bucket holds, and how it is read and written."""
