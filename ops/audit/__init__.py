"""The audit log for people: its records, the proof that none is missing, the report."""
