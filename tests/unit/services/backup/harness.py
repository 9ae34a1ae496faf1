"""A bucket on this machine, keys of age, and settings that lead there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pyrage  # type: ignore[import-untyped]
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from services.backup.store import Store
from services.runtime.settings import Storage
from tests.config.pki import write_certificates

BUCKET, PREFIX, REGION = "monitoring", "backups/", "ap-northeast-1"
KEYS = ("AKIABACKUP", "secret-of-the-storage")
IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENT = str(IDENTITY.to_public())


@dataclass(frozen=True, kw_only=True)
class Harness:
    """The bucket and who may use it.

    Attributes:
        folder: Files: ``ca.crt`` and keys.
        url: Address of the storage.
        s3: Client of the storage.
    """

    folder: Path
    url: str
    s3: Any

    def storage(self, **changed: Any) -> dict[str, Any]:
        """The section ``storage`` of a settings file."""
        return {
            "endpoint": self.url,
            "region": REGION,
            "bucket": BUCKET,
            "prefix": PREFIX,
            "access_key_id_file": str(self.folder / "key"),
            "secret_access_key_file": str(self.folder / "secret"),
            "ca_file": str(self.folder / "ca.crt"),
            **changed,
        }

    @contextmanager
    def store(self, **changed: Any) -> Iterator[Store]:
        """The bucket, in parts of 5 MiB."""
        storage = self.storage(**changed)
        files = {key: Path(storage[key]) for key in ("access_key_id_file", "secret_access_key_file", "ca_file")}
        store = Store(Storage(**{**storage, **files}), part_bytes=5 * 2**20)
        try:
            yield store
        finally:
            store.close()

    @property
    def names(self) -> list[str]:
        """Keys of all objects."""
        return [stored_object["Key"] for stored_object in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


@contextmanager
def harness(folder: Path) -> Iterator[Harness]:
    """A fake of S3 that behaves as a real one as far as a client can see, over verified TLS."""
    write_certificates(folder)
    for name, text in (("key", KEYS[0]), ("secret", KEYS[1])):
        (folder / name).write_text(text + "\n")
    certificate = (str(folder / "tls.crt"), str(folder / "tls.key"))
    server = make_server(
        "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, ssl_context=certificate
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    url, ca = f"https://localhost:{server.server_port}", str(folder / "ca.crt")
    s3: Any = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        verify=ca,
    )
    try:
        requests.post(f"{url}/moto-api/reset", verify=ca, timeout=60).raise_for_status()
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield Harness(folder=folder, url=url, s3=s3)
    finally:
        s3.close()
        server.shutdown()
        thread.join(60)
        server.server_close()
