"""How the checks of a maintenance look: what is wrong is named, what was never done is said to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.telemetry.topics import TOPICS
from ops.core.alertmanager import FiringAlert, Matcher, Silence
from ops.core.errors import OpsError
from ops.evidence import files as evidence
from ops.evidence.reading import Drills
from ops.incidents.evidence import ClusterEvent
from ops.maintenance import check_functions
from ops.maintenance.model import Lazy, Tools

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HERE = evidence.PlatformId(stack="local", namespace="obs", cluster_id="cluster")


def tools(context: Any = None, **changed: Any) -> Tools:
    """What checks look with."""
    given: dict[str, Any] = {
        "context": context,
        "now": NOW,
        "silence_age": timedelta(days=7),
        "identity": None,
        "dashboards": Lazy(list),
        "drills": Drills(lambda: HERE),
        **changed,
    }
    return Tools(**given)


def alert(name: str, severity: str, state: str = "active") -> FiringAlert:
    labels = {"alertname": name, "severity": severity, "alert_id": f"{name}-1"}
    return FiringAlert(
        fingerprint="f",
        labels=labels,
        annotations={},
        starts=NOW - timedelta(minutes=20),
        receivers=(),
        state=state,
        silenced_by=(),
        inhibited_by=(),
    )


def silence(age: timedelta, matcher: Matcher, state: str = "active") -> Silence:
    return Silence(
        id="12345678-90",
        state=state,
        matchers=(matcher,),
        starts=NOW - age,
        ends=NOW + timedelta(days=1),
        author="somebody",
        comment="planned work",
    )


def alertmanager(alerts: list[FiringAlert], silences: list[Silence]) -> Any:
    held = SimpleNamespace(alerts=lambda: alerts, silences=lambda: silences)
    return SimpleNamespace(alertmanager=lambda: held)


def test_an_urgent_alert_that_nobody_took_is_named() -> None:
    context = alertmanager(
        [
            alert("KafkaDiskFull", "critical"),
            alert("StreamDelay", "high"),
            alert("Sessions", "low"),
            alert("Watchdog", "critical"),
            alert("PairDown", "high", "suppressed"),
        ],
        [silence(timedelta(hours=1), Matcher(name="alert_id", value="StreamDelay-1"))],
    )
    finding = check_functions.alerts_taken(tools(context))
    assert finding.wrong == ["KafkaDiskFull-1 (critical) for 20 min"]
    assert finding.figures == ["4 fire, 2 of them Critical or High, 1 acknowledged"]


def test_a_forgotten_silence_is_named_with_who_made_it() -> None:
    matcher = Matcher(name="layer", value="device")
    context = alertmanager([], [silence(timedelta(days=8), matcher), silence(timedelta(days=90), matcher, "expired")])
    finding = check_functions.silences_young(tools(context))
    assert finding.wrong == ["12345678 by somebody for 8 d: layer=device (planned work)"]
    assert check_functions.silences_young(tools(context, silence_age=timedelta(days=30))).wrong == []


def test_containers_that_ended_by_themselves_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def event(kind: Any, warning: bool) -> ClusterEvent:
        return ClusterEvent(
            at=NOW, kind=kind, subject="Pod a", reason="OOMKilled", text="exit code 137", warning=warning
        )

    events = (event("restart", True), event("restart", False), event("rollout", False))
    monkeypatch.setattr(check_functions, "cluster", lambda *_: (events, 3))
    finding = check_functions.restarts(tools(SimpleNamespace(kube=None)))
    assert finding.wrong == ["Pod a at 12:00 UTC: OOMKilled, exit code 137"]


def test_a_topic_with_another_retention_is_named() -> None:
    settings: dict[str, dict[str, str]] = {topic.name: {"retention.ms": str(topic.retention_ms)} for topic in TOPICS}
    context: Any = SimpleNamespace(kafka=SimpleNamespace(topic_settings=lambda _: settings))
    assert check_functions.topics_retention(tools(context)).wrong == []
    settings["alerts-raw"] = {"retention.ms": "1"}
    del settings["telemetry-logs"]
    assert len(check_functions.topics_retention(tools(context)).wrong) == 2


def drilled(folder: Path, *, passed: bool = True, days: float = 1, cluster: str = HERE.cluster_id) -> Drills:
    """Evidence of one failover, stored in a folder of its own."""
    run = evidence.Evidence(
        name="region-drill",
        passed=passed,
        problems=() if passed else ("a record was lost",),
        commit=evidence.commit(),
        dirty=False,
        covers_digest=evidence.digest(evidence.catalog().paths("region-drill")),
        time=NOW - timedelta(days=days),
        seconds=60,
        platform=HERE.model_copy(update={"cluster_id": cluster}),
        machine={"cores": 2},
        versions={},
        figures={target.figure: 0 for target in evidence.catalog().entry("region-drill").targets},
    )
    file = folder / run.name / f"{run.time:%Y%m%dT%H%M%S}000Z.json"
    file.parent.mkdir()
    file.write_text(run.model_dump_json())
    return Drills(lambda: HERE, folder)


def test_a_drill_that_was_never_done_says_so_and_how_to_do_it(tmp_path: Path) -> None:
    finding = check_functions.fresh("region-drill", "DR drill", timedelta(days=35))(
        tools(drills=Drills(lambda: HERE, tmp_path))
    )
    assert finding.figures == ["never"]
    assert finding.wrong == [
        "DR drill: never done here (no evidence in evidence/region-drill/): run `ops drill region`"
    ]


def test_a_drill_of_another_cluster_was_never_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evidence.SCOPE_VARIABLE, raising=False)
    given = drilled(tmp_path, cluster="another")
    finding = check_functions.fresh("region-drill", "DR drill", timedelta(days=35))(tools(drills=given))
    assert "never done here" in finding.wrong[0]
    assert "measured on another cluster" in finding.wrong[0]


@pytest.mark.parametrize(
    ("passed", "days", "problem"),
    [(True, 34, ""), (True, 36, "must be at most 35 d"), (False, 1, "DR drill failed: region-drill failed")],
)
def test_a_drill_must_have_passed_and_be_young(tmp_path: Path, passed: bool, days: int, problem: str) -> None:
    given = drilled(tmp_path, passed=passed, days=days)
    finding = check_functions.fresh("region-drill", "DR drill", timedelta(days=35))(tools(drills=given))
    assert bool(finding.wrong) is bool(problem)
    assert problem in " ".join(finding.wrong)


def test_a_drill_of_other_sources_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = drilled(tmp_path)
    monkeypatch.setattr(evidence, "staleness", lambda *_: "stale, 3 commits")
    finding = check_functions.fresh("region-drill", "DR drill", timedelta(days=35))(tools(drills=given))
    assert "stale, 3 commits" in finding.wrong[0]
    assert finding.wrong[0].endswith("run `ops drill region`")


def test_slow_queries_are_named_the_slowest_first() -> None:
    def dashboard(*seconds: float) -> Any:
        answers = tuple(
            SimpleNamespace(
                query=SimpleNamespace(expr=f"q{number}"), latency_s=duration, series=(), points=1, problem=""
            )
            for number, duration in enumerate(seconds)
        )
        panel = SimpleNamespace(title="panel")
        return SimpleNamespace(name="kafka"), [SimpleNamespace(panel=panel, answers=answers, empty=False)]

    quick = check_functions.slow_queries(tools(dashboards=Lazy(lambda: [dashboard(0.1, 0.3)])))
    assert quick.wrong == []
    assert quick.seen[0] == "300 ms: kafka, panel: q1"
    slow = check_functions.slow_queries(tools(dashboards=Lazy(lambda: [dashboard(6.0, 6.0)])))
    assert len(slow.wrong) == 2
    assert check_functions.slow_queries(tools()).wrong == ["no query was answered"]


def test_a_shared_value_is_asked_for_once_and_again_after_a_failure() -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OpsError("not now")
        return 7

    once = Lazy(make)
    with pytest.raises(OpsError):
        once.get()
    assert (once.get(), once.get(), len(calls)) == (7, 7, 2)
