"""The keeper of the backups."""
