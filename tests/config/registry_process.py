"""A registry of images on loopback: Debian's docker-registry with TLS and one login."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import requests
import yaml

from tests.config import pki
from tests.support.ports import free_port

USER, PASSWORD = "publisher", "Secret0Word"
_START_LIMIT_S = 120
"""Ends a start that hangs."""


@dataclass(frozen=True)
class RegistryServer:
    """A running registry.

    Attributes:
        host: Host and port, as images are named.
        certs: Folder with its authority.
    """

    host: str
    certs: Path

    def auth_file(self, file: Path, *, password: str = PASSWORD) -> Path:
        """A file with a login, as `buildah login` writes it."""
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        file.write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        return file


@contextmanager
def registry(folder: Path) -> Iterator[RegistryServer]:
    """A registry until the block ends; it answers when the block starts."""
    certs = folder / "certs"
    certs.mkdir(parents=True)
    pki.write_certificates(folder)
    shutil.copy(folder / "ca.crt", certs / "ca.crt")
    port = free_port()
    (folder / "htpasswd").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()}\n")
    configuration = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")},
        },
        "auth": {"htpasswd": {"realm": "images", "path": str(folder / "htpasswd")}},
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(configuration))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "registry.yaml")], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, f"https://127.0.0.1:{port}/v2/", certs / "ca.crt", folder / "registry.log")
            yield RegistryServer(f"127.0.0.1:{port}", certs)
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, authority: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, verify=str(authority), timeout=60).status_code == requests.codes.unauthorized:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the registry does not answer:\n{log.read_text()[-2000:]}")
