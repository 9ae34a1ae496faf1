"""Backups in the cluster."""
