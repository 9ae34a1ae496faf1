"""Series, alerts and rules of two real Prometheus through a real Thanos Query, as incidents read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest
import yaml

from components.prometheus.config import rendered
from components.prometheus.thanos import endpoints_config, query_command, sidecar_command
from components.rules import alert_id, id_template
from components.web_access import web_config
from ops.core.metrics import Metrics
from ops.core.web import Web
from ops.incidents.record import Incident
from ops.incidents.series import firing, measured
from ops.incidents.times import TimeWindow
from tests.config.prometheus_process import prometheus_process, write_files
from tests.config.servers import eventually, free_port, running
from tests.config.thanos_process import local
from tests.unit.ops import incident_samples as samples

PASSWORD = "query-password"
RULES = {"Own": 'label_replace(vector(7), "site", "tokyo", "", "") > 5', "Other": "vector(1)"}
NOW = datetime.now(UTC)


def rules() -> str:
    """Alerts that fire from the beginning."""
    alerts = [
        {
            "alert": name,
            "expr": expr,
            "labels": {"severity": "high", "layer": "streaming", "alert_id": id_template(name)},
        }
        for name, expr in RULES.items()
    ]
    return yaml.safe_dump({"groups": [{"name": "a", "interval": "1s", "rules": alerts}]})


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    top = tmp_path_factory.mktemp("thanos")
    with ExitStack() as stack:
        stores = [replica(stack, top, name) for name in ("primary", "secondary")]
        port = free_port()
        tls = top / "primary"
        for folder in ("web", "endpoints"):
            (top / folder).mkdir()
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (top / "web/web.yml").write_text(rendered(web_config({"reader": hashed}, str(tls))))
        endpoints = rendered(endpoints_config(stores, "localhost", str(tls))).replace("dns+", "")
        (top / "endpoints/endpoints.yml").write_text(endpoints)
        command = local(
            query_command(directory=str(top), tls_directory=str(tls)),
            {"http-address": f"127.0.0.1:{port}", "grpc-address": f"127.0.0.1:{free_port()}"},
        )
        stack.enter_context(running(command, top / "query.log", port, kill=True))
        web = Web(str(tls / "ca.crt"))
        stack.callback(web.close)
        client = Metrics(web, f"https://localhost:{port}", ("reader", PASSWORD), "Thanos Query")
        eventually(lambda: len(spells(client)) == 2, 40, "both replicas' alerts are there")
        yield client


def replica(stack: ExitStack, top: Path, name: str) -> str:
    """A Prometheus with its sidecar; address of the sidecar."""
    folder, first = top / name, top / "primary"
    folder.mkdir()
    (folder / "rules.yml").write_text(rules())
    if folder != first:
        for file in ("ca.crt", "tls.crt", "tls.key"):
            (folder / file).write_bytes((first / file).read_bytes())
    write_files(folder, replica=name)
    prometheus = stack.enter_context(prometheus_process(folder))
    grpc = free_port()
    command = local(
        sidecar_command(tls_directory=str(first)),
        {
            "tsdb.path": str(folder / "data"),
            "prometheus.url": prometheus.url,
            "prometheus.http-client-file": str(folder / "client.yml"),
            "http-address": f"127.0.0.1:{free_port()}",
            "http.config": str(folder / "web.yml"),
            "grpc-address": f"127.0.0.1:{grpc}",
        },
    )
    stack.enter_context(running(command, folder / "sidecar.log", grpc, kill=True))
    return f"localhost:{grpc}"


def window() -> TimeWindow:
    return TimeWindow(start=NOW - timedelta(minutes=30), end=datetime.now(UTC))


def incident() -> Incident:
    alert = samples.alert(
        alert_id=alert_id("Own", {"site": "tokyo"}), name="Own", starts=datetime.now(UTC), expression=""
    )
    return samples.incident(alert=alert, notes=(), closed=None)


def spells(metrics: Metrics) -> set[str]:
    return {spell.replica for spell in firing(metrics, incident(), window()).firing if spell.own}


def test_each_prometheus_tells_for_itself_when_the_alert_fired(metrics: Metrics) -> None:
    assert spells(metrics) == {"primary", "secondary"}


def test_other_alerts_of_the_layer_are_told_for_each_prometheus(metrics: Metrics) -> None:
    others = [spell for spell in firing(metrics, incident(), window()).firing if not spell.own]
    assert {(other.alert, other.replica, other.count) for other in others} == {
        ("Other", "primary", 1),
        ("Other", "secondary", 1),
    }


def test_the_rules_come_through_the_query_layer(metrics: Metrics) -> None:
    eventually(lambda: set(metrics.alert_rules()) == set(RULES), 30, "the query layer knows the rules")
    assert metrics.alert_rules()["Own"].labels["layer"] == "streaming"


def test_the_series_of_both_are_one_line(metrics: Metrics) -> None:
    eventually(lambda: bool(metrics.alert_rules()), 30, "the query layer knows the rules")
    measurements = measured(metrics, incident(), window()).measured
    own = next(measurement for measurement in measurements if not measurement.sibling)
    assert (own.limit, [line.labels.get("site") for line in own.lines]) == (5, ["tokyo"])
    assert own.lines[0].own
