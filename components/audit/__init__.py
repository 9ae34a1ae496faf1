"""The audit log: who reached for what, from where, and whether it was let in."""
