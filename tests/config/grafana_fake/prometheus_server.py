"""A real Prometheus behind TLS and a password, as the platform's readers find one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import yaml

from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, answers, eventually, free_port, running

USER, PASSWORD = "reader", "password-of-the-reader"


@dataclass(frozen=True)
class PrometheusServer:
    """Where it is."""

    port: int
    ca_file: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}"


@contextmanager
def prometheus_server(folder: Path) -> Iterator[PrometheusServer]:
    """The server, until the block ends; it scrapes nothing."""
    own = folder / "prometheus"
    own.mkdir()
    write_certificates(own)
    port = free_port()
    web = {
        "tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"},
        "basic_auth_users": {USER: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()},
    }
    (own / "web.yml").write_text(yaml.safe_dump(web))
    (own / "prometheus.yml").write_text(yaml.safe_dump({"global": {"scrape_interval": "15s"}}))
    command = [
        str(tools.path("prometheus")),
        f"--config.file={own / 'prometheus.yml'}",
        f"--web.config.file={own / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={own / 'data'}",
    ]
    server = PrometheusServer(port, own / "ca.crt")
    request = {"auth": (USER, PASSWORD), "verify": str(own / "ca.crt")}
    with running(command, own / "server.log", port):
        eventually(lambda: answers(f"{server.url}/-/ready", **request), START_SECONDS, "Prometheus is ready")
        yield server
