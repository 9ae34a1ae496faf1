"""An object storage behind verified TLS (moto, named as the fake that it is), and a report server that reads it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3  # type: ignore[import-untyped]
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from services.report_server import ReportServerSettings as Settings
from services.report_server.__main__ import Service
from services.report_server.poller import Bucket, ReportPoller
from tests.config.pki import write_certificates

BUCKET, PREFIX = "monitoring", "reports/"
TOKYO = ZoneInfo("Asia/Tokyo")
READER, SCRAPER = ("reader", "password-of-reader"), ("scrape-report-server", "password-of-scrape")
HOURS = {"daily": 32, "weekly": 177, "monthly": 754}


def tokyo(text: str) -> float:
    """Seconds since 1970 of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=TOKYO).timestamp()


@dataclass
class Storage:
    """The object storage with one bucket.

    Attributes:
        folder: Certificates and passwords.
        server: Its web server.
        client: The writer's client.
    """

    folder: Path
    server: BaseWSGIServer
    client: Any

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"https://localhost:{self.server.server_port}"

    def put(self, key: str, body: bytes | str = b"x", prefix: str = PREFIX) -> None:
        """Store an object."""
        self.client.put_object(Bucket=BUCKET, Key=prefix + key, Body=body)

    def put_run(self, kind: str, *, failed: bool, problem: str = "", period: str = "2026-11-24") -> None:
        """Store the record of a run."""
        record = {
            "kind": kind,
            "period": period,
            "started_at": "2026-11-24T21:10:00Z",
            "ended_at": "2026-11-24T21:11:30Z",
            "failed": failed,
            "problem": problem,
        }
        self.put(f"runs/{kind}/{period}.json", json.dumps(record))

    def settings(self, **changes: Any) -> Settings:
        """Settings of a report server that reads it."""
        return Settings.parse(content(self.folder, self.endpoint, **changes))


def content(folder: Path, endpoint: str | None = "https://localhost:1", **changes: Any) -> dict[str, Any]:
    """A settings file's content."""
    storage = {
        "endpoint": endpoint,
        "region": "ap-northeast-1",
        "bucket": BUCKET,
        "prefix": PREFIX,
        "access_key_id_file": str(folder / "key-id"),
        "secret_access_key_file": str(folder / "secret-key"),
        "ca_file": str(folder / "ca.crt"),
    }
    return {
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "storage": storage,
        "time_zone": "Asia/Tokyo",
        "most_age_h": dict(HOURS),
        "reader": {"user": READER[0], "password_file": str(folder / "reader")},
        "metrics": {"user": SCRAPER[0], "password_file": str(folder / "scraper")},
        **changes,
    }


def write_files(folder: Path) -> None:
    """Certificates and passwords of storage and report server."""
    write_certificates(folder)
    files = {"key-id": "key", "secret-key": "secret", "reader": READER[1], "scraper": SCRAPER[1]}
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")


@contextmanager
def storage(folder: Path) -> Iterator[Storage]:
    """A storage with an empty bucket."""
    write_files(folder)
    server = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        ssl_context=(str(folder / "tls.crt"), str(folder / "tls.key")),
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    client = boto3.client(
        "s3",
        endpoint_url=f"https://localhost:{server.server_port}",
        region_name="ap-northeast-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        verify=str(folder / "ca.crt"),
    )
    fake_storage = Storage(folder, server, client)
    reset = requests.post(f"{fake_storage.endpoint}/moto-api/reset", verify=str(folder / "ca.crt"), timeout=60)
    reset.raise_for_status()
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    try:
        yield fake_storage
    finally:
        client.close()
        server.shutdown()
        thread.join(60)
        server.server_close()


def watch(fake_storage: Storage, told: list[str]) -> ReportPoller:
    """A watch on a storage; ``told`` gets its lines."""
    settings = fake_storage.settings()
    return ReportPoller(settings, Bucket(settings.storage), told.append)


@dataclass
class ReportServer:
    """A running report server."""

    port: int
    ca: str

    def get(self, path: str, login: tuple[str, str] | None = READER, method: str = "GET") -> requests.Response:
        """Ask it; redirects are not followed."""
        return requests.request(
            method,
            f"https://localhost:{self.port}{path}",
            auth=login,
            verify=self.ca,
            timeout=60,
            allow_redirects=False,
        )


@contextmanager
def report_server(fake_storage: Storage) -> Iterator[ReportServer]:
    """The whole service, in a thread of its own."""
    service = Service(fake_storage.settings())
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    running = ReportServer(service.server.server_port, str(fake_storage.folder / "ca.crt"))
    try:
        until_ready(running)
        yield running
    finally:
        service.stop()
        thread.join(60)
        assert not thread.is_alive(), "the report server does not stop"


def until_ready(running: ReportServer) -> None:
    """Wait until it has polled once."""
    for _ in range(100):
        if running.get("/readyz").status_code == 200:
            return
        threading.Event().wait(0.1)
    raise AssertionError("the report server does not become ready")
