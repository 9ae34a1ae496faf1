"""Series, alerts and rules of two real Prometheus through a real Thanos Query, as incidents read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from components.rules import alert_id, id_template
from ops.core.web import Metrics, Web
from ops.incidents.record import Incident, TimeWindow
from ops.incidents.series import firing, measured
from tests.config.servers import eventually
from tests.config.thanos_process import LOGIN, thanos
from tests.unit.ops import incident_samples as samples

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
    replicas = {name: (name, 0) for name in ("primary", "secondary")}
    with thanos(top, replicas, rules=rules()) as query, closing(Web(str(top / "ca.crt"))) as web:
        client = Metrics(web, query.url, LOGIN, "Thanos Query")
        eventually(lambda: len(spells(client)) == 2, 40, "both replicas' alerts are there")
        yield client


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
