"""What several servers tell at different times is a finding only where every look shows it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.telemetry.topics import TOPICS
from ops.checks import alerting, ingest, prometheus
from ops.core import rows
from ops.core.context import Context
from ops.core.rows import lasting

CLOCK_ERROR = "x509: certificate has expired: current time 2026-12-02T10:00:{second:02} is after 2026-12-01T00:00:00Z"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes no time, and the clock says that it did."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(rows, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))


def looks(*shown: dict[str, str]) -> Callable[[], dict[str, str]]:
    """A look that shows one after the other, and the last for ever."""
    rest = list(shown)
    return lambda: rest.pop(0) if len(rest) > 1 else rest[0]


def test_what_goes_is_no_finding_and_what_stays_is_told_as_it_is_now() -> None:
    assert lasting(looks({"a": "1", "b": "1"}, {"a": "2"}, {"a": "3", "b": "3"}), 5) == {"a": "3"}
    assert lasting(looks({"a": "1"}, {}, {"a": "2"}), 5) == {}
    assert lasting(looks({"a": "1"}, {"b": "2"}), 5) == {}


def test_a_target_that_fails_with_another_text_each_time_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(60))

    def unreached() -> dict[str, str]:
        return {"kafka kafka-0:9404": CLOCK_ERROR.format(second=next(seconds))}

    query = SimpleNamespace(name="prometheus-primary", unreached=unreached, instant=lambda _: [])
    monkeypatch.setattr(prometheus, "layer_counts", lambda _: {})
    monkeypatch.setattr(prometheus, "freshness", lambda _: 1.0)
    platform = SimpleNamespace(prometheus_replicas=("primary", "secondary"))
    context = SimpleNamespace(platform=platform, replica=lambda _: query, thanos=query)
    wrong = prometheus.p1(cast(Context, context)).wrong
    assert len(wrong) == 2
    assert wrong[0].startswith("prometheus-primary does not reach kafka kafka-0:9404: x509: certificate has expired")


class Kafka:
    """Groups that commit of a partition at some look, and a record that comes while the commits are read."""

    def __init__(self, at_look: int) -> None:
        self.at_look, self.looked, self.ends_asked = at_look, 0, 0

    def end_offsets(self, topic: str) -> dict[int, int]:
        self.ends_asked += 1
        late = 1 if self.looked else 0
        return {0: 5, 1: 3, 2: late}

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        self.looked += 1
        read = {(TOPICS[0].name, 0): 5}
        return read | ({(TOPICS[0].name, 1): 3} if self.looked >= self.at_look else {})


@pytest.mark.parametrize(("at_look", "wrong"), [(3, 0), (10**6, 1)])
def test_a_partition_is_unread_only_where_it_stays_so(at_look: int, wrong: int) -> None:
    context = SimpleNamespace(platform=SimpleNamespace(consumer_groups=("archive",)), kafka=Kafka(at_look))
    problems = ingest.k6(cast(Context, context)).wrong
    assert len(problems) == wrong
    assert all(problem == f"archive, {TOPICS[0].name}: nothing consumed from partitions 1" for problem in problems), (
        "a record that came while the commits were read is no finding"
    )


class Alertmanager:
    """As the real one: of two ends that are still to come by its clock, the later one counts."""

    def __init__(self, behind_s: float) -> None:
        self.behind_s, self.ends, self.silenced = behind_s, 0.0, False

    def alerts(self) -> list[Any]:
        firing = self.ends > ALERT_CLOCK[0] - self.behind_s
        alert = SimpleNamespace(identity=self.identity, state="suppressed", receivers=["daily-report"])
        return [alert] if firing else []

    identity = ""

    def silence(self, *_: object) -> str:
        return "silence-1"

    def silences(self) -> list[Any]:
        return [SimpleNamespace(id="silence-1")]

    def post(self, labels: dict[str, str], _: object, starts: Any, ends: Any) -> None:
        self.identity = labels[alerting.ID_LABEL]
        ends_at = ends.timestamp()
        here = ALERT_CLOCK[0] - self.behind_s
        self.ends = ends_at if ends_at <= here else max(self.ends, ends_at)

    def end(self, _: str) -> None:
        self.silenced = True


ALERT_CLOCK = [0.0]


@pytest.mark.parametrize("behind_s", [0.0, 2.0])
def test_an_incident_ends_also_where_the_clock_here_is_ahead(monkeypatch: pytest.MonkeyPatch, behind_s: float) -> None:
    ALERT_CLOCK[0] = 1_000_000_000.0
    members = {name: Alertmanager(behind_s) for name in ("alertmanager-0", "alertmanager-1")}

    real = alerting.datetime
    monkeypatch.setattr(
        alerting, "datetime", SimpleNamespace(now=lambda tz=None: real.fromtimestamp(ALERT_CLOCK[0], tz))
    )
    monkeypatch.setattr(alerting, "wait_until", lambda condition, *_: condition())
    pods = [SimpleNamespace(name=name, ready=True) for name in members]
    context = SimpleNamespace(kube=SimpleNamespace(pods=lambda _: pods), alertmanager=members.__getitem__)

    def recorded(*_: object) -> None:
        ALERT_CLOCK[0] += 5.0

    monkeypatch.setattr(alerting, "recorded", recorded)
    monkeypatch.setattr(alerting, "reported", lambda *_: None)
    monkeypatch.setattr(alerting, "time", SimpleNamespace(monotonic=lambda: 0.0))
    assert alerting.m3(cast(Context, context)).wrong == []
    assert members["alertmanager-0"].silenced


def test_an_alert_that_one_member_keeps_is_found() -> None:
    kept = SimpleNamespace(identity="verify-1", state="active")
    members = {
        "alertmanager-0": SimpleNamespace(alerts=list),
        "alertmanager-1": SimpleNamespace(alerts=lambda: [kept]),
    }
    context = cast(Context, SimpleNamespace(alertmanager=members.__getitem__))
    assert alerting.firing_at(context, list(members), "verify-1") == {"alertmanager-1": "active"}
