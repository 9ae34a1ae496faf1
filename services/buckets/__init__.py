"""Looking into object storage: what the report shelf and the keeper of backups have in common."""
