"""Who tells people about alerts, of two regions: what the witness bucket holds, and how it is read and written."""
