"""Where reports go: a mail server and an object storage on this machine, and settings that lead there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import requests
import yaml
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from lab.fakes.receivers.channels import MailFake
from lab.fakes.receivers.record import Record
from tests.config.pki import write_certificates
from tests.config.servers import free_port

LOGIN = ("reports", "password-of-mail")
KEYS = ("AKIAREPORTS", "secret-of-storage")
BUCKET, PREFIX = "monitoring", "reports/"
RECIPIENTS = ["ops@example.org", "lead@example.org"]


@dataclass(frozen=True, kw_only=True)
class Places:
    """The servers, and the folder with secrets.

    Attributes:
        folder: Files: ``ca.crt`` and passwords.
        record: What the mail server took.
        mail_port: Its port.
        s3: Client of the storage.
        storage_url: Its address.
    """

    folder: Path
    record: Record
    mail_port: int
    s3: Any
    storage_url: str

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Content of a settings file."""
        return {**content(self.folder, f"localhost:{self.mail_port}", self.storage_url), **changed}

    def file(self, **changed: Any) -> Path:
        """A settings file."""
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(self.settings(**changed), allow_unicode=True))
        return path

    @property
    def names(self) -> list[str]:
        """Keys of all objects."""
        return [stored_object["Key"] for stored_object in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]

    def object(self, key: str) -> Any:
        """An object."""
        return self.s3.get_object(Bucket=BUCKET, Key=key)


def content(
    folder: Path, server: str = "mail.example.org:587", storage: str | None = "https://localhost:1"
) -> dict[str, Any]:
    """Content of a settings file whose secrets are in ``folder``."""
    for name, text in (
        ("query", "query-password"),
        ("kafka", "kafka-password"),
        ("mail", LOGIN[1]),
        ("key", KEYS[0]),
        ("secret", KEYS[1]),
    ):
        (folder / name).write_text(text + "\n")
    ca = str(folder / "ca.crt")
    return {
        "platform": "obs",
        "region": "local",
        "time_zone": "Asia/Tokyo",
        "languages": ["ja", "en"],
        "query": {
            "url": "https://localhost:1",
            "ca_file": ca,
            "user": "reader",
            "password_file": str(folder / "query"),
        },
        "kafka": {
            "bootstrap": "localhost:1",
            "topic": "alerts-processed",
            "raw_topic": "alerts-raw",
            "ca_file": ca,
            "user": "reports",
            "group": "reports",
            "password_file": str(folder / "kafka"),
        },
        "mail": {
            "server": server,
            "sender": "obs@example.org",
            "user": LOGIN[0],
            "password_file": str(folder / "mail"),
            "ca_file": ca,
            "recipients": {"daily": RECIPIENTS, "weekly": RECIPIENTS[:1], "monthly": []},
        },
        "storage": {
            "endpoint": storage,
            "region": "ap-northeast-1",
            "bucket": BUCKET,
            "prefix": PREFIX,
            "access_key_id_file": str(folder / "key"),
            "secret_access_key_file": str(folder / "secret"),
            "ca_file": ca,
        },
    }


@contextmanager
def places(folder: Path) -> Iterator[Places]:
    """The servers: fakes that behave as real ones as far as a client can see, over verified TLS."""
    write_certificates(folder)
    certificate = (folder / "tls.crt", folder / "tls.key")
    record, mail_port = Record(), free_port()
    mail = MailFake(record, host="127.0.0.1", port=mail_port, certificate=certificate, login=LOGIN)
    storage = make_server(
        "127.0.0.1",
        0,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        ssl_context=(str(certificate[0]), str(certificate[1])),
    )
    thread = threading.Thread(target=storage.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    mail.start()
    thread.start()
    url = f"https://localhost:{storage.server_port}"
    s3: Any = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="ap-northeast-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        verify=str(folder / "ca.crt"),
    )
    try:
        requests.post(f"{url}/moto-api/reset", verify=str(folder / "ca.crt"), timeout=60).raise_for_status()
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
        yield Places(folder=folder, record=record, mail_port=mail_port, s3=s3, storage_url=url)
    finally:
        s3.close()
        storage.shutdown()
        thread.join(60)
        storage.server_close()
        mail.stop()
