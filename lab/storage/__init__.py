"""An object storage outside the platform: the Versity S3 Gateway on files, over HTTPS only."""
