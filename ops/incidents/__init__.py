"""Incidents (requirement M3): a record with a 15-minute clock, what was seen while it lasted, and a report of it."""
