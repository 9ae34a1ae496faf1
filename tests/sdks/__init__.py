"""Small services with the SDKs of docs/ingest.md; ``python -m tests.sdks`` runs them against the real gate."""
