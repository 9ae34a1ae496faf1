"""Small services with the SDKs of docs/ingest.md, one for each language of its table."""
