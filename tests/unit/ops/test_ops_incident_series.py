"""Series and rules of an incident, from a real Prometheus with an hour of history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from components.alerting.escalation import escalated
from components.rules import Alert, RuleGroup, Severity, alert_id
from ops.core import otlp
from ops.core.errors import OpsError
from ops.core.web import Metrics, Web, step
from ops.incidents.evidence import Measured
from ops.incidents.record import Incident, TimeWindow
from ops.incidents.series import firing, measured
from tests.config.prometheus_process import USERS, PrometheusProcess, prometheus_process, write_files
from tests.config.servers import eventually
from tests.unit.ops import incident_samples as samples

NOW = datetime.now(UTC).replace(microsecond=0)
FIRED = NOW - timedelta(minutes=30)
WINDOW = TimeWindow(start=NOW - timedelta(minutes=60), end=NOW)
SITE = 'tokyo "1" \\ $1'
"""A label that has to be quoted."""

RULES = {
    "FewSites": "sample_failures > 5",
    "ManySites": 'sample_delay{kind="many"} > 1 and on (site) sample_delay{kind="many"} > 0.5',
    "Quoted": "sample_quoted > 5",
    "Sibling": "sample_delay < 0.1",
    "Gone": 'absent(up{job="kafka"}) or absent(up{job="gateway"})',
}


(SHARED,) = escalated(
    [
        RuleGroup(
            name="shared",
            rules=(
                Alert(
                    name="Shared",
                    expr="sample_failures > 5",
                    for_="1h",
                    severity=Severity.HIGH,
                    summary="",
                    description="",
                    wide=True,
                ),
            ),
        )
    ]
)
"""An alert that shares one evaluation with its twin."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("prometheus")
    rules = [
        {"alert": name, "expr": expr, "for": "1h", "labels": {"severity": "high", "layer": "streaming"}}
        for name, expr in RULES.items()
    ]
    recording = {"record": "sample:sum", "expr": "sum(sample_failures)"}
    content = {"groups": [{"name": "a", "rules": [*rules, recording]}, SHARED.data("")]}
    (folder / "rules.yml").write_text(yaml.safe_dump(content))
    write_files(folder)
    with prometheus_process(folder) as process:
        write(process, "sample_failures", {"osaka": 1.0, SITE: 8.0})
        write(process, "sample_delay", {f"site-{number}": number / 10 for number in range(40)}, kind="many")
        write(process, "sample_quoted", {SITE: 8.0, **{f"site-{number}": 1.0 for number in range(19)}})
        for replica, late in (("primary", 0), ("secondary", 60)):
            for state, begin, end in (("pending", 32, 30), ("firing", 30, 10)):
                alert = {
                    "alertname": "FewSites",
                    "alertstate": state,
                    "alert_id": identity("FewSites"),
                    "severity": "high",
                }
                write(process, "ALERTS", {SITE: 1}, begin, end, late_s=late, prometheus_replica=replica, **alert)
        for number in range(3):
            sibling = {"alertname": "Sibling", "alertstate": "firing", "severity": "critical"}
            write(process, "ALERTS", {f"site-{number}": 1}, 25, 0, prometheus_replica="primary", **sibling)
        write(process, "ALERTS", {"a": 1}, 25, 0, alertname="Removed", alertstate="firing", severity="low")
        escalated = {"alertname": "SiblingEscalated", "alertstate": "firing", "escalation": "team-leader"}
        write(process, "ALERTS", {"a": 1}, 20, 0, **escalated)
        # The history ends when this module was read, which may be long ago in a whole run.
        end = NOW.timestamp() - 15
        eventually(lambda: len(process.series("ALERTS", end)) >= 5, 60, "the history is there")
        yield process


def write(
    process: PrometheusProcess,
    name: str,
    sites: Mapping[str, float],
    begin: float = 60,
    end: float = 0,
    *,
    late_s: float = 0,
    **labels: str,
) -> None:
    """Samples every 15 s, from ``begin`` to ``end`` minutes ago."""
    count = int((begin - end) * 4)
    first = NOW.timestamp() - begin * 60 + late_s
    points = [
        (int((first + 15 * index) * 1e9), value, {"site": site, **labels})
        for site, value in sites.items()
        for index in range(count)
    ]
    request = otlp.gauge(otlp.resource_of("streaming", "recorder", "recorder-1"), name, points)
    web = Web(str(process.folder / "ca.crt"))
    with web.call(
        "POST",
        f"{process.url}/api/v1/otlp/v1/metrics",
        auth=("writer", USERS["writer"]),
        data=request.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    ) as response:
        assert response.status_code == 200, response.text
    web.close()


def identity(name: str, site: str = SITE) -> str:
    return alert_id(name, {"site": site, "job": "recorder"})


def incident(name: str, site: str = SITE, **changes: object) -> Incident:
    alert = samples.alert(
        alert_id=identity(name, site) if site else name, name=name, starts=FIRED, **{"expression": "", **changes}
    )
    return samples.incident(alert=alert, notes=(), closed=None)


@pytest.fixture
def metrics(prometheus: PrometheusProcess) -> Iterator[Metrics]:
    web = Web(str(prometheus.folder / "ca.crt"))
    yield Metrics(web, prometheus.url, ("reader", USERS["reader"]), "prometheus")
    web.close()


def value_at(measurement: Measured, line: int, minutes_ago: float) -> float | None:
    at = (NOW - timedelta(minutes=minutes_ago)).timestamp()
    return min(measurement.lines[line].points, key=lambda point: abs(point[0] - at))[1]


def test_the_value_of_the_alert_is_read_not_only_where_it_is_beyond_the_limit(metrics: Metrics) -> None:
    [measurement] = [
        measurement
        for measurement in measured(metrics, incident("FewSites"), WINDOW).measured
        if not measurement.sibling
    ]
    assert (measurement.value, measurement.comparison, measurement.limit, measurement.total) == (
        "sample_failures",
        ">",
        5,
        None,
    )
    own = {line.labels["site"]: line.own for line in measurement.lines}
    assert own == {"osaka": False, SITE: True}
    assert value_at(measurement, [*own].index("osaka"), 40) == 1


def test_of_many_series_the_one_of_the_alert_is_read(metrics: Metrics) -> None:
    measurements = [
        measurement
        for measurement in measured(metrics, incident("ManySites", "site-17"), WINDOW).measured
        if not measurement.sibling
    ]
    assert [(measurement.limit, measurement.total, len(measurement.lines)) for measurement in measurements] == [
        (1, 40, 1),
        (0.5, 40, 1),
    ]
    assert measurements[0].lines[0].labels["site"] == "site-17"
    assert measurements[0].lines[0].own
    assert value_at(measurements[0], 0, 40) == pytest.approx(1.7)


def test_a_label_may_hold_anything(metrics: Metrics) -> None:
    [measurement] = [
        measurement for measurement in measured(metrics, incident("Quoted"), WINDOW).measured if not measurement.sibling
    ]
    assert measurement.total == 20
    assert [(line.labels["site"], line.own) for line in measurement.lines] == [(SITE, True)]


def test_where_the_alert_cannot_be_told_apart_the_worst_is_read(metrics: Metrics) -> None:
    [measurement, _] = [
        measurement
        for measurement in measured(metrics, incident("ManySites", ""), WINDOW).measured
        if not measurement.sibling
    ]
    assert measurement.expression == 'max(sample_delay{kind="many"})'
    assert value_at(measurement, 0, 40) == pytest.approx(3.9)
    unknown = measured(metrics, incident("ManySites", "site-99"), WINDOW).measured[0]
    assert unknown.expression == measurement.expression


def test_of_values_that_must_not_be_small_the_smallest_is_read(metrics: Metrics) -> None:
    [measurement] = [
        measurement
        for measurement in measured(metrics, incident("Sibling", ""), WINDOW).measured
        if not measurement.sibling
    ]
    assert measurement.expression == "min(sample_delay)"
    assert value_at(measurement, 0, 40) == 0


def test_of_many_alternatives_those_that_name_the_alert_are_read(metrics: Metrics) -> None:
    alert = samples.alert(alert_id=alert_id("Gone", {"job": "gateway"}), name="Gone", starts=FIRED, expression="")
    measurements = measured(metrics, samples.incident(alert=alert), WINDOW).measured
    assert [measurement.value for measurement in measurements if not measurement.sibling] == ['up{job="gateway"}']
    assert measurements[0].lines == ()


def test_other_alerts_of_the_layer_that_fired_are_read_the_most_urgent_first(metrics: Metrics) -> None:
    collected = measured(metrics, incident("FewSites"), WINDOW)
    siblings = [measurement for measurement in collected.measured if measurement.sibling]
    assert [(sibling.alert, sibling.expression, sibling.total) for sibling in siblings] == [
        ("Sibling", "min(sample_delay)", 40)
    ]
    assert collected.remark == "Removed is not drawn"


def test_there_may_be_no_time_left_for_other_alerts(metrics: Metrics) -> None:
    collected = measured(metrics, incident("FewSites"), WINDOW, lambda: False)
    assert not [measurement for measurement in collected.measured if measurement.sibling]
    assert "Sibling is not drawn" in collected.remark


def test_the_expression_that_fired_counts_more_than_the_rule_of_today(metrics: Metrics) -> None:
    measurements = measured(metrics, incident("FewSites", expression="sample_failures > 7"), WINDOW).measured
    assert measurements[0].limit == 7


@pytest.mark.parametrize("name", ["Shared", "SharedEscalated"])
def test_of_an_alert_that_reads_a_record_the_recorded_expression_is_drawn(metrics: Metrics, name: str) -> None:
    read = SHARED.alerts[0].expr
    assert "sample_failures" not in read
    [measurement] = measured(metrics, incident(name, expression=read), WINDOW).measured[:1]
    assert (measurement.value, measurement.limit) == ("sample_failures", 5)


def test_a_rule_that_is_gone_is_said(metrics: Metrics) -> None:
    with pytest.raises(OpsError, match="no rule of Prometheus is called Renamed"):
        measured(metrics, incident("Renamed"), WINDOW)


def test_the_rule_of_an_escalated_alert_is_that_of_its_original(metrics: Metrics) -> None:
    assert measured(metrics, incident("FewSitesEscalated"), WINDOW).measured[0].value == "sample_failures"


def test_both_prometheus_tell_when_the_alert_fired(metrics: Metrics) -> None:
    own = [spell for spell in firing(metrics, incident("FewSites"), WINDOW).firing if spell.own]
    assert {(spell.replica, spell.state) for spell in own} == {
        (replica, state) for replica in ("primary", "secondary") for state in ("pending", "firing")
    }
    spells = {(spell.replica, spell.state): spell for spell in own}
    fired = spells["primary", "firing"]
    assert abs(fired.start - FIRED) <= timedelta(seconds=15)
    assert fired.end is not None
    # A series is answered for five more minutes after its last sample unless it is marked as ended.
    assert timedelta(minutes=19) < fired.end - fired.start < timedelta(minutes=26)
    late = spells["secondary", "firing"].start - fired.start
    assert timedelta(seconds=45) <= late <= timedelta(seconds=75)


def test_other_alerts_of_the_layer_are_told_with_how_many_there_were(metrics: Metrics) -> None:
    spells_by_alert = {
        spell.alert: spell for spell in firing(metrics, incident("FewSites"), WINDOW).firing if not spell.own
    }
    assert set(spells_by_alert) == {"Sibling", "Removed"}
    assert (spells_by_alert["Sibling"].count, spells_by_alert["Sibling"].end, spells_by_alert["Sibling"].severity) == (
        3,
        None,
        "critical",
    )


def test_an_alert_without_a_layer_has_no_others(metrics: Metrics) -> None:
    collected = firing(metrics, incident("FewSites", layer=""), WINDOW)
    assert all(spell.own for spell in collected.firing)
    assert "no layer" in collected.remark


def test_the_rules_that_run_are_known(metrics: Metrics) -> None:
    rules = metrics.alert_rules()
    assert set(rules) == {*RULES, "Shared", "SharedEscalated"}
    assert rules["FewSites"].expression == RULES["FewSites"]
    assert rules["FewSites"].labels["layer"] == "streaming"


@pytest.mark.parametrize(
    ("length", "expected"), [(timedelta(minutes=45), 15), (timedelta(hours=1), 15), (timedelta(hours=24), 360)]
)
def test_there_are_no_more_samples_than_a_chart_can_show(length: timedelta, expected: float) -> None:
    assert step(NOW - length, NOW) == expected


def test_what_is_no_number_is_nothing(metrics: Metrics) -> None:
    [line] = metrics.over("vector(0) / 0", WINDOW.start, WINDOW.end, 60)
    assert {value for _, value in line.points} == {None}
    assert not [value for _, value in line.points if value is not None and math.isnan(value)]


def test_a_refused_query_and_a_wrong_password_are_one_line(metrics: Metrics, prometheus: PrometheusProcess) -> None:
    with pytest.raises(OpsError, match="prometheus answered 400") as raised:
        metrics.over("sum(", WINDOW.start, WINDOW.end, 60)
    assert "\n" not in str(raised.value)
    web = Web(str(prometheus.folder / "ca.crt"))
    with pytest.raises(OpsError, match="answered 401") as raised:
        Metrics(web, prometheus.url, ("reader", "not-the-password"), "prometheus").alert_rules()
    assert "not-the-password" not in str(raised.value)
    web.close()
