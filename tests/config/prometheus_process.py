"""A real Prometheus with the platform's configuration, on a free port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import requests

from components.prometheus.config import (
    AlertTarget,
    PrometheusConfig,
    ScrapeJob,
    password_file_of,
    prometheus_command,
    prometheus_config,
    rendered,
)
from components.web_access import client_config, web_config
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, eventually, free_port, running

USERS = {name: f"{name}-password" for name in ("reader", "writer", "sidecar", "scrape-prometheus-primary")}


def job(name: str, srv: str = "_metrics._tcp.gateway-headless.obs-local.svc.cluster.local") -> ScrapeJob:
    """A scrape job."""
    return ScrapeJob(job=name, srv=srv, server_name="localhost", username=f"scrape-{name}", path="/metrics")


def alert_target(name: str, username: str = "prometheus", path_prefix: str = "/") -> AlertTarget:
    """Something on ``localhost`` that takes alerts."""
    srv = f"_web._tcp.{name}-headless.obs-local.svc.cluster.local"
    return AlertTarget(name=name, srv=srv, server_name="localhost", username=username, path_prefix=path_prefix)


def write_files(
    folder: Path,
    *jobs: ScrapeJob,
    replica: str = "primary",
    shard: int = 0,
    alerts: Sequence[AlertTarget] = (),
    passwords: Mapping[str, str] | None = None,
    members: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Everything that the pod of a Prometheus mounts.

    Args:
        folder: Where it is written.
        jobs: What is scraped.
        replica: Name of the replica.
        shard: Its shard.
        alerts: Where alerts go.
        passwords: Name of an alert target -> password of the login there.
        members: Name of an alert target -> ports on this machine, in place of what DNS would say.
    """
    (folder / "scrape").mkdir(parents=True, exist_ok=True)
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    for scrape_job in jobs:
        (folder / "scrape" / scrape_job.job).write_text("password")
    for target in alerts:
        (folder / "scrape" / password_file_of(target.name)).write_text((passwords or {}).get(target.name, "password"))
    rules = folder / "rules.yml"
    if not rules.exists():
        rules.write_text("groups: []")
    config = prometheus_config(
        PrometheusConfig(
            platform="obs-test",
            region="here",
            replica=replica,
            shard=shard,
            jobs=jobs,
            alerts=alerts,
            scrape_interval="15s",
            out_of_order_window="12h",
            tls_directory=str(folder),
            scrape_directory=str(folder / "scrape"),
            rule_files=[str(rules)],
        )
    )
    for target, data in zip(alerts, config["alerting"]["alertmanagers"], strict=True):
        if members and target.name in members:
            del data["dns_sd_configs"]
            data["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in members[target.name]]}]
    hashes = {user: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for user, password in USERS.items()}
    client = client_config(username="sidecar", password_file=str(folder / "client-password"), tls_directory=str(folder))
    (folder / "prometheus.yml").write_text(rendered(config))
    (folder / "web.yml").write_text(rendered(web_config(hashes, str(folder))))
    (folder / "client.yml").write_text(rendered(client))
    (folder / "client-password").write_text(USERS["sidecar"])


def local_command(folder: Path, port: int) -> list[str]:
    """The pod's command line with the lab's binary and folders; no option is added or left out."""
    replaced = {
        "config.file": str(folder / "prometheus.yml"),
        "web.config.file": str(folder / "web.yml"),
        "web.listen-address": f"127.0.0.1:{port}",
    }
    command = prometheus_command(
        retention_time="1d", retention_size="1GB", reads_at_once=2, directory=str(folder / "data")
    )
    result = [str(tools.path("prometheus"))]
    for option in command[1:]:
        name, _, value = option.removeprefix("--").partition("=")
        changed = replaced.get(name, value)
        result.append(f"--{name}={changed}" if changed else f"--{name}")
    return result


@dataclass(frozen=True)
class PrometheusProcess:
    """A running Prometheus."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Base address."""
        return f"https://localhost:{self.port}"

    def get(self, path: str, user: str | None = "reader", **params: str) -> requests.Response:
        """Ask the web API, as a user or as nobody."""
        return requests.get(
            self.url + path,
            params=params,
            auth=(user, USERS.get(user, "wrong")) if user else None,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
        )

    def series(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """Result of an instant query, at ``at`` (Unix seconds) or now."""
        answer = self.get("/api/v1/query", query=query, **({} if at is None else {"time": str(at)}))
        assert answer.status_code == 200, answer.text
        series_list: list[dict[str, Any]] = answer.json()["data"]["result"]
        return series_list


@contextmanager
def prometheus_process(folder: Path) -> Iterator[PrometheusProcess]:
    """Run Prometheus until the block ends; it is ready when the block starts."""
    port = free_port()
    with running(local_command(folder, port), folder / "prometheus.log", port):
        process = PrometheusProcess(folder, port)
        eventually(lambda: process.get("/-/ready").status_code == 200, START_SECONDS, "Prometheus is ready")
        yield process
