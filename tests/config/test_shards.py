"""Two shards and a ruler, all real: one view of what is divided, and one alert about all of it (requirement P4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests

from components.prometheus.config import AlertTarget, password_file_of, rendered
from components.prometheus.ruler import query_config, receivers_config, ruler_rules_file
from components.prometheus.thanos import RulerConfig, ruler_command
from components.rules import Alert, Recording, RuleGroup, Severity
from components.shards import REPLICA_LABEL, RULER_SHARD, SHARD_LABEL
from components.web_access import web_config
from lab.toolchain import tools
from ops.core import otlp
from tests.config.prometheus_process import PrometheusProcess
from tests.config.servers import eventually, free_port, running
from tests.config.test_prometheus_server import write
from tests.config.thanos_process import Query, local, thanos

SERVERS = {"first": ("primary", 0), "second": ("primary", 1)}
METRIC = "obs_shard_probe"
RULES = (
    RuleGroup(
        name="all-shards",
        interval="1s",
        rules=(
            Recording(record="shards:probe:sum", expr=f"sum({METRIC})"),
            Alert(
                name="AllShardsTogether",
                expr="shards:probe:sum > 10",
                for_="0s",
                severity=Severity.HIGH,
                summary="{{ $value }}",
                description="No shard alone has so much.",
            ),
        ),
    ),
)
AMTOOL = "amtool-password"


class Scene:
    """The query layer, and what Alertmanager was told."""

    def __init__(self, query: Query, alertmanager: str) -> None:
        self.query, self._alertmanager = query, alertmanager

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that fire."""
        answer = requests.get(
            f"{self._alertmanager}/api/v2/alerts",
            auth=("reader", AMTOOL),
            verify=str(self.query.folder / "ca.crt"),
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        alerts: list[dict[str, Any]] = answer.json()
        return alerts


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    top = tmp_path_factory.mktemp("shards")
    grpc = free_port()
    with ExitStack() as stack:
        query = stack.enter_context(thanos(top, SERVERS, f"localhost:{grpc}"))
        alertmanager = stack.enter_context(_alertmanager(top))
        stack.enter_context(running(_ruler(top, query, alertmanager, grpc), top / "ruler.log", grpc))
        yield Scene(query, f"https://localhost:{alertmanager}")


@contextmanager
def _alertmanager(top: Path) -> Iterator[int]:
    port = free_port()
    hashed = bcrypt.hashpw(AMTOOL.encode(), bcrypt.gensalt(4)).decode()
    (top / "alertmanager-web.yml").write_text(rendered(web_config({"reader": hashed}, str(top))))
    (top / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = [
        str(tools.path("alertmanager")),
        f"--config.file={top / 'alertmanager.yml'}",
        f"--web.config.file={top / 'alertmanager-web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.path={top / 'alertmanager'}",
        "--cluster.listen-address=",
    ]

    with running(command, top / "alertmanager.log", port):
        yield port


def _ruler(top: Path, query: Query, alertmanager: int, grpc: int) -> list[str]:
    """The pod's command line and files, with this machine's addresses; nothing is left out but the object storage."""
    hashed = bcrypt.hashpw(b"scrape-password", bcrypt.gensalt(4)).decode()
    (top / "web.yml").write_text(rendered(web_config({"scrape-thanos-rule-primary": hashed}, str(top))))
    (top / "query-password").write_text("query-password")
    (top / password_file_of("alertmanager")).write_text(AMTOOL)
    (top / "rules.yml").write_text(ruler_rules_file(RULES, "https://runbooks.example.org"))
    address = query.url.removeprefix("https://")
    files = {"tls_directory": str(top), "web_directory": str(top)}
    (top / "query.yml").write_text(rendered(query_config(address, server_name="localhost", username="reader", **files)))
    target = AlertTarget(name="alertmanager", srv="SRV", server_name="localhost", username="reader", path_prefix="/")
    receivers = rendered(receivers_config([target], **files))
    (top / "alertmanagers.yml").write_text(receivers.replace("dnssrv+SRV", f"localhost:{alertmanager}"))
    labels = {"platform": "obs-test", "region": "here", REPLICA_LABEL: "primary", SHARD_LABEL: RULER_SHARD}
    command = ruler_command(
        RulerConfig(
            labels=labels,
            query_url=query.url,
            config_directory=str(top),
            data_directory=str(top / "ruler"),
            web_directory=str(top),
            tls_directory=str(top),
        )
    )
    command = [option for option in command if not option.startswith("--objstore")]
    return local(command, {"grpc-address": f"127.0.0.1:{grpc}", "http-address": f"127.0.0.1:{free_port()}"})


def send(server: PrometheusProcess, device: str, value: float, at: float | None = None) -> None:
    resource = otlp.resource_of("device", "tests", device, device=device)
    request = otlp.gauge(resource, METRIC, [(int((at or time.time()) * 1e9), value, {})])
    assert write(server, request.SerializeToString(), "writer").status_code == 200


def test_rules_are_evaluated_over_all_shards_and_raise_one_alert(scene: Scene) -> None:
    send(scene.query.servers["first"], "a", 6.0)
    send(scene.query.servers["second"], "b", 7.0)
    eventually(lambda: scene.query.value(f"sum({METRIC})") == 13, 30, "the view has both shards")
    eventually(lambda: scene.query.value("shards:probe:sum") == 13, 60, "what the ruler records can be read")
    eventually(lambda: len(scene.alerts()) == 1, 60, "the alert is told")
    [alert] = scene.alerts()
    assert alert["labels"] == {
        "alertname": "AllShardsTogether",
        "alert_id": "AllShardsTogether",
        "platform": "obs-test",
        "region": "here",
        "severity": "high",
    }


def test_a_series_that_moves_to_another_shard_is_one_series_and_counts_once(scene: Scene) -> None:
    now = time.time()
    for age in (60, 50, 40):
        send(scene.query.servers["first"], "moved", 1.0, now - age)
    for age in (30, 20, 10, 0):
        send(scene.query.servers["second"], "moved", 1.0, now - age)
    selector = f'{METRIC}{{device_id="moved"}}'
    eventually(lambda: scene.query.value(f"count({selector})") == 1, 30, "it is one series")
    [series] = scene.query.result(f"{selector}[2m]")
    assert not {REPLICA_LABEL, SHARD_LABEL} & set(series["metric"])
    samples = [float(at) for at, _ in series["values"]]  # type: ignore[misc]
    assert len(samples) == len(set(samples))
    # Thanos waits for two intervals before it believes that a series goes on elsewhere (docs/adr/0065).
    assert len(samples) >= 5
