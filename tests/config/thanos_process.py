"""Real Prometheus servers, each with its sidecar, and a query layer over them and over whatever else has samples."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import requests

from components.prometheus.config import rendered
from components.prometheus.thanos import endpoints_config, query_command, sidecar_command
from components.web_access import web_config
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.prometheus_process import PrometheusProcess, prometheus_process, write_files
from tests.config.servers import free_port, running

LOGIN = ("reader", "query-password")
"""Who may read the query layer."""


def local(command: list[str], changed: dict[str, str]) -> list[str]:
    """A pod's command with the lab's binary and some options changed; each must have been there."""
    left = dict(changed)
    result = [str(tools.path("thanos")), command[1]]
    for option in command[2:]:
        name, _, value = option.removeprefix("--").partition("=")
        value = left.pop(name, value)
        result.append(f"--{name}={value}" if value else f"--{name}")
    assert not left, f"no such option: {left}"
    return result


class Query:
    """A running query layer.

    Args:
        servers: What it reads, by name.
        url: Its address.
        folder: Folder with the certificates of all.
    """

    def __init__(self, servers: Mapping[str, PrometheusProcess], url: str, folder: Path) -> None:
        self.servers = servers
        self.url = url
        self.folder = folder

    def ask(self, query: str, auth: tuple[str, str] | None = LOGIN) -> requests.Response:
        """Ask an instant query, with a login or without."""
        return requests.get(
            f"{self.url}/api/v1/query",
            params={"query": query},
            auth=auth,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
        )

    def result(self, query: str) -> list[dict[str, dict[str, str]]]:
        """Series of an answer."""
        answer = self.ask(query)
        assert answer.status_code == 200, answer.text
        series: list[dict[str, dict[str, str]]] = answer.json()["data"]["result"]
        return series

    def value(self, query: str) -> float | None:
        """The value of the one series of an answer."""
        series = self.result(query)
        return float(series[0]["value"][1]) if len(series) == 1 else None  # type: ignore[index]


@contextmanager
def thanos(top: Path, servers: Mapping[str, tuple[str, int]], *more: str, rules: str | None = None) -> Iterator[Query]:
    """Run servers and the query layer until the block ends.

    Args:
        top: Where their files are.
        servers: Name -> replica and shard.
        more: ``host:port`` of further stores.
        rules: Rule file of each server; default none.
    """
    write_certificates(top)
    with ExitStack() as stack:
        processes: dict[str, PrometheusProcess] = {}
        stores = list(more)
        for name, (replica, shard) in servers.items():
            folder = top / name
            folder.mkdir()
            for file in ("ca.crt", "tls.crt", "tls.key"):
                shutil.copy(top / file, folder / file)
            if rules is not None:
                (folder / "rules.yml").write_text(rules)
            write_files(folder, replica=replica, shard=shard)
            processes[name] = stack.enter_context(prometheus_process(folder))
            stores.append(stack.enter_context(_sidecar(processes[name])))
        yield Query(processes, stack.enter_context(_query(top, stores)), top)


@contextmanager
def _sidecar(server: PrometheusProcess) -> Iterator[str]:
    http, grpc, folder = free_port(), free_port(), server.folder
    command = local(
        sidecar_command(tls_directory=str(folder)),
        {
            "tsdb.path": str(folder / "data"),
            "prometheus.url": server.url,
            "prometheus.http-client-file": str(folder / "client.yml"),
            "http-address": f"127.0.0.1:{http}",
            "http.config": str(folder / "web.yml"),
            "grpc-address": f"127.0.0.1:{grpc}",
        },
    )
    with running(command, folder / "sidecar.log", grpc, kill=True):
        yield f"localhost:{grpc}"


@contextmanager
def _query(top: Path, stores: list[str]) -> Iterator[str]:
    port = free_port()
    (top / "web").mkdir()
    (top / "endpoints").mkdir()
    user, password = LOGIN
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (top / "web/web.yml").write_text(rendered(web_config({user: hashed}, str(top))))
    # There is no DNS server here that knows localhost, so the address is given without a lookup.
    endpoints = rendered(endpoints_config(stores, "localhost", str(top))).replace("dns+", "")
    (top / "endpoints/endpoints.yml").write_text(endpoints)
    command = local(
        query_command(queries_at_once=4, directory=str(top), tls_directory=str(top)),
        {"http-address": f"127.0.0.1:{port}", "grpc-address": f"127.0.0.1:{free_port()}"},
    )
    with running(command, top / "query.log", port, kill=True):
        yield f"https://localhost:{port}"
