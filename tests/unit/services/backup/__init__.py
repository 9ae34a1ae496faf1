"""Tests of backups and their restores."""
