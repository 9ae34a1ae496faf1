"""Settings of a log indexer."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def content(folder: Path) -> dict[str, Any]:
    """A settings file's content."""
    (folder / "password").write_text("hunter2\n")
    file = str(folder / "password")
    return {
        "kafka": {
            "bootstrap": "kafka:9092",
            "topic": "telemetry-logs",
            "ca_file": str(folder / "ca.pem"),
            "username": "log-indexer",
            "group": "log-indexer",
            "password_file": file,
        },
        "search": {
            "url": "https://localhost:9200",
            "server_name": "localhost",
            "index": "logs-write",
            "ca_file": str(folder / "ca.pem"),
            "username": "log-indexer",
            "password_file": file,
        },
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")},
        "metrics": {"user": "scrape-log-indexer", "password_file": file},
        "batch_records": 100,
        "batch_bytes": 1_000_000,
    }
