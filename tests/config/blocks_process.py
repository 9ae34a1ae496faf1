"""Prometheus with short blocks, and every part of Thanos around an object storage: real servers on loopback."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import requests
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.contracts import ObjectStorage
from components.prometheus.config import prometheus_command, rendered
from components.prometheus.thanos import (
    Encryption,
    endpoints_config,
    objects_config,
    query_command,
    sidecar_command,
    store_command,
)
from components.storage_roles import StorageRole
from components.web_access import web_config
from lab.storage import REGION
from lab.toolchain import tools
from services.backup.restore_metrics import QueryApi
from tests.config.prometheus_process import USERS, PrometheusProcess, write_files
from tests.config.servers import START_SECONDS, eventually, free_port, running
from tests.config.storage_process import ROLE_BUCKET, StorageProcess

PREFIX = "metrics/"
BLOCK = "10m"
BLOCK_MS = 600_000
WINDOW = "30m"
LABELS = {"platform": "obs-test", "region": "here", "prometheus_replica": "primary"}
READER = ("reader", "query-password")


def local(program: str, command: Sequence[str], changed: dict[str, str]) -> list[str]:
    """A pod's command with the lab's binary and some options changed; each must have been there.

    Args:
        program: Name of the binary.
        command: The pod's command.
        changed: Option -> its value here.
    """
    left, result = dict(changed), [str(tools.path(program))]
    for option in command[1:]:
        if not option.startswith("--"):
            result.append(option)
            continue
        name, equals, value = option.removeprefix("--").partition("=")
        result.append(f"--{name}{equals}{left.pop(name, value)}")
    assert not left, f"no such option: {left}"
    return result


def prepare(folder: Path, certificates: Path | None = None) -> None:
    """Files of a Prometheus; its out-of-order window is half an hour.

    Args:
        folder: Where.
        certificates: Another one's folder, whose certificate it gets too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if certificates:
        for file in ("ca.crt", "tls.crt", "tls.key"):
            shutil.copy(certificates / file, folder / file)
    write_files(folder)
    settings = folder / "prometheus.yml"
    config = yaml.safe_load(settings.read_text())
    config["storage"]["tsdb"]["out_of_order_time_window"] = WINDOW
    settings.write_text(yaml.safe_dump(config))


@contextmanager
def prometheus(folder: Path, *, shipped: bool = True) -> Iterator[PrometheusProcess]:
    """Run a Prometheus with the data in ``folder/data``."""
    port = free_port()
    command = local(
        "prometheus",
        prometheus_command(
            retention_time="1d",
            retention_size="1GB",
            reads_at_once=2,
            directory=str(folder / "data"),
            block_duration=BLOCK,
            shipped=shipped,
        ),
        {
            "config.file": str(folder / "prometheus.yml"),
            "web.config.file": str(folder / "web.yml"),
            "web.listen-address": f"127.0.0.1:{port}",
        },
    )
    with running(command, folder / "prometheus.log", port):
        process = PrometheusProcess(folder, port)
        eventually(lambda: process.get("/-/ready").status_code == 200, START_SECONDS, "Prometheus is ready")
        yield process


def write(
    process: PrometheusProcess, name: str, moments_ms: Sequence[int], *, series: int = 20, shift: float = 0.0
) -> None:
    """Write samples by OTLP as a consumer does, one for each series and moment.

    Args:
        process: Where to.
        name: Metric.
        moments_ms: Moments, in milliseconds since 1970.
        series: Number of series.
        shift: Added to the values, which otherwise depend on series and moment only.
    """
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in {"layer": "device", "service.name": "recorder", "service.instance.id": "recorder-1"}.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name=name)
    for moment in moments_ms:
        for number in range(series):
            point = metric.gauge.data_points.add(
                time_unix_nano=moment * 1_000_000, as_double=moment % 100_000 + number / 10 + shift
            )
            point.attributes.add(key="number").value.string_value = str(number)
    answer = requests.post(
        f"{process.url}/api/v1/otlp/v1/metrics",
        data=request.SerializeToString(),
        auth=("writer", USERS["writer"]),
        headers={"content-type": "application/x-protobuf"},
        verify=str(process.folder / "ca.crt"),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


def objects_files(
    storage: StorageProcess, folder: Path, role: StorageRole, encryption: Encryption | None = None
) -> Path:
    """What a pod of Thanos finds in its Secret; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    contract = ObjectStorage(
        endpoint=storage.url,
        region=REGION,
        bucket=ROLE_BUCKET,
        prefix=PREFIX,
        networks=("127.0.0.1/32",),
        port=int(storage.url.rpartition(":")[2]),
        access_key_id=None,  # type: ignore[arg-type]
        secret_access_key=None,  # type: ignore[arg-type]
        authority=None,  # type: ignore[arg-type]
    )
    key, secret = storage.role(role)
    config = objects_config(
        contract,
        access_key_id=key,
        secret_access_key=secret,
        private=True,
        encryption=encryption,
        directory=str(folder),
    )
    shutil.copy(storage.ca_file, folder / "authority.crt")
    file = folder / "objects.yml"
    file.write_text(rendered(config))
    return file


@contextmanager
def sidecar(process: PrometheusProcess, objects: Path) -> Iterator[str]:
    """Run the sidecar of a Prometheus; yields the address of its StoreAPI."""
    http, grpc = free_port(), free_port()
    folder = process.folder
    command = local(
        "thanos",
        sidecar_command(tls_directory=str(folder), shipping=True),
        {
            "tsdb.path": str(folder / "data"),
            "prometheus.url": process.url,
            "prometheus.http-client-file": str(folder / "client.yml"),
            "http-address": f"127.0.0.1:{http}",
            "http.config": str(folder / "web.yml"),
            "grpc-address": f"127.0.0.1:{grpc}",
            "objstore.config-file": str(objects),
        },
    )
    with running(command, folder / "sidecar.log", grpc):
        yield f"localhost:{grpc}"


@contextmanager
def store_gateway(folder: Path, certificates: Path, objects: Path) -> Iterator[str]:
    """Run the store gateway; yields the address of its StoreAPI."""
    folder.mkdir()
    grpc = free_port()
    command = local(
        "thanos",
        store_command(index_cache="16MB", chunk_pool="64MB", tls_directory=str(certificates)),
        {
            "data-dir": str(folder / "data"),
            "http-address": f"127.0.0.1:{free_port()}",
            "http.config": str(certificates / "web.yml"),
            "grpc-address": f"127.0.0.1:{grpc}",
            "objstore.config-file": str(objects),
        },
    )
    with running(command, folder / "store.log", grpc):
        yield f"localhost:{grpc}"


@contextmanager
def query(
    folder: Path, certificates: Path, stores: Sequence[str], others: Mapping[str, str] | None = None
) -> Iterator[QueryApi]:
    """Run the query layer over stores; yields how it is asked for the one replica.

    Args:
        folder: Of its own.
        certificates: Folder of its certificate and authority.
        stores: Addresses of StoreAPIs.
        others: User -> password of whoever may ask beside the reader.
    """
    (folder / "web").mkdir(parents=True)
    (folder / "endpoints").mkdir()
    passwords = dict([READER]) | dict(others or {})
    hashed = {name: bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode() for name, text in passwords.items()}
    (folder / "web/web.yml").write_text(rendered(web_config(hashed, str(certificates))))
    # There is no DNS server here that knows localhost, so the address is given without a lookup.
    endpoints = rendered(endpoints_config(stores, "localhost", str(certificates))).replace("dns+", "")
    (folder / "endpoints/endpoints.yml").write_text(endpoints)
    port = free_port()
    command = local(
        "thanos",
        query_command(queries_at_once=4, directory=str(folder), tls_directory=str(certificates)),
        {"http-address": f"127.0.0.1:{port}", "grpc-address": f"127.0.0.1:{free_port()}"},
    )
    with running(command, folder / "query.log", port, kill=True):
        yield QueryApi(
            url=f"https://localhost:{port}",
            user=READER[0],
            password=READER[1],
            ca_file=certificates / "ca.crt",
            only={"prometheus_replica": LABELS["prometheus_replica"]},
        )


def api(process: PrometheusProcess) -> QueryApi:
    """How a Prometheus is asked."""
    return QueryApi(url=process.url, user="reader", password=USERS["reader"], ca_file=process.folder / "ca.crt")


def cut(process: PrometheusProcess, start_ms: int) -> None:
    """Write an hour of samples up to now, with a part of them late, so that blocks are cut; late ones overlap.

    Blocks are cut when a sample is an instant later than one and a half blocks after the first that is in memory.
    """
    minute = 60_000
    write(process, "in_order", [start_ms + at * minute for at in range(41)])
    # Ten to thirty minutes late, and between the others.
    write(process, "in_order", [start_ms + at * minute + minute // 2 for at in range(15, 30)])
    write(process, "late_only", [start_ms + at * minute for at in range(15, 30)])
    write(process, "in_order", [start_ms + at * minute for at in range(41, 61)])


def hour_ago_ms() -> int:
    """An hour ago, at the full minute, in milliseconds."""
    return (int(time.time()) // 60 - 60) * 60_000
