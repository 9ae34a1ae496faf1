"""What is seen from outside: pods and partitions that are not whole, unanswered panels, alerts, notifications."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.alertmanager import FiringAlert
from ops.core.errors import OpsError
from ops.core.kafka import TopicState
from ops.core.kube import Pod
from ops.drills import run, watch
from ops.drills.watch import Event, Pods, Watched, Watcher, notifications, parsed, raised
from services.alert_events.events import AlertEvent, ProcessedEvent, RawEvent
from tests.config.servers import eventually
from tests.support.running import running
from tests.unit.ops.dashboard_fakes import query_client

BEGAN = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)


def pod(name: str, workload: str, *, ready: bool = True, restarts: int = 0) -> Pod:
    return running(name, workload, ready=ready, restarts=restarts)


KAFKA = [pod(f"kafka-{number}", "kafka") for number in range(3)]


def test_pods_that_are_not_ready_or_gone_are_counted_by_workload() -> None:
    pods = Pods([*KAFKA, pod("gateway-a", "gateway"), pod("late-a", "late", ready=False)])
    assert pods.missing([KAFKA[0], replace(KAFKA[1], ready=False), pod("gateway-b", "gateway")]) == {
        "kafka, {n} of 3 not ready": 2
    }
    assert pods.missing([]) == {"gateway, {n} of 1 not ready": 1, "kafka, {n} of 3 not ready": 3}


def test_a_restart_is_told_once() -> None:
    pods = Pods(KAFKA)
    again = [KAFKA[0], KAFKA[1], replace(KAFKA[2], restarts=1), pod("new", "x", restarts=4)]
    assert pods.restarted(again) == ["kafka-2"]
    assert pods.restarted(again) == []


def topic(*in_sync: int) -> dict[str, TopicState]:
    count = len(in_sync)
    return {"t": TopicState(name="t", replicas=(3,) * count, in_sync=in_sync, leaders=(0,) * count)}


class Harness:
    """A platform whose parts a test takes away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pods: list[Pod] | None = [*KAFKA, pod("job-x", "job")]
        self.topics: dict[str, TopicState] | None = topic(3, 3)
        self.ask, self.address = query_client({"": [({}, 1.0)]})
        monkeypatch.setattr(watch, "query_client", lambda _: self.ask)
        for name in ("PODS_EVERY_S", "PARTITIONS_EVERY_S", "QUESTION_EVERY_S"):
            monkeypatch.setattr(watch, name, 0.02)
        self.context: Any = SimpleNamespace(
            kube=SimpleNamespace(pods=lambda: self._given(self.pods)),
            kafka=SimpleNamespace(topics=lambda: self._given(self.topics)),
        )

    @staticmethod
    def _given(value: Any) -> Any:
        if value is None:
            raise OpsError("no answer")
        return value


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    return Harness(monkeypatch)


def whats(seen: Watched) -> set[str]:
    return {event.what for event in seen.events}


def test_what_is_taken_away_is_seen_and_that_it_is_back(harness: Harness) -> None:
    with Watcher(harness.context) as watcher:
        eventually(lambda: watcher.seen().questions > 3, 10, "questions are asked")
        assert watcher.seen().events == ()
        harness.pods = [KAFKA[0], KAFKA[1], replace(KAFKA[2], ready=False, restarts=1), pod("job-x", "job")]
        harness.topics = topic(2, 3)
        harness.address.answers = {}
        expected = {
            "kafka, 1 of 3 not ready",
            "kafka-2 started again",
            "1 partitions without all copies",
            watch.UNANSWERED,
        }
        eventually(lambda: whats(watcher.seen()) == expected, 10, "all that is missing is seen")
        assert watcher.seen().whole_again is None
        harness.pods = [*KAFKA[:2], replace(KAFKA[2], restarts=1), pod("job-x", "job")]
        harness.topics = topic(3, 3)
        harness.address.answers = {"": [({}, 1.0)]}
        eventually(lambda: watcher.seen().whole_again is not None, 10, "all is whole again")
        eventually(lambda: all(event.end is not None for event in watcher.seen().events), 10, "every event has ended")
    seen = watcher.seen()
    assert seen.first_sign is not None
    assert seen.whole_again is not None
    assert seen.first_sign.start < seen.whole_again
    assert 0 < seen.unanswered < seen.questions
    assert seen.slowest_s is not None


def test_who_does_not_answer_is_seen_and_stops_nobody(harness: Harness) -> None:
    with Watcher(harness.context) as watcher:
        harness.pods, harness.topics = None, None
        silent = {"Kubernetes gives no answer", "Kafka gives no answer"}
        eventually(lambda: whats(watcher.seen()) == silent, 10, "both are seen to be silent")


def test_a_job_that_has_ended_is_no_loss(harness: Harness) -> None:
    with Watcher(harness.context) as watcher:
        harness.pods = [*KAFKA]
        eventually(lambda: watcher.seen().questions > 5, 10, "questions are asked")
        time.sleep(0.1)
        assert watcher.seen().events == ()


def test_only_questions_with_an_answer_before_can_lose_it(harness: Harness) -> None:
    harness.address.answers = {}
    with Watcher(harness.context) as watcher:
        time.sleep(0.1)
    assert watcher.seen().questions == 0


def test_what_was_seen_is_read_again_as_it_was_written() -> None:
    event = Event(lane="platform", what="x", start=1.0, end=None)
    seen = Watched(events=(event,), questions=3, unanswered=1, slowest_s=0.5, alerts=(event,), notifications=None)
    assert parsed(seen.as_json()) == seen


def alert(kind: type[AlertEvent], name: str, status: str, after: float, **more: Any) -> AlertEvent:
    starts = BEGAN + timedelta(seconds=more.pop("starts", after))
    labels = {"alertname": name, "severity": "critical", **more.pop("labels", {})}
    content = {
        "received_at": BEGAN + timedelta(seconds=after),
        "sender": "p",
        "alert_id": name,
        "fingerprint": more.pop("fingerprint", "0" * 16),
        "status": status,
        "startsAt": starts,
        "endsAt": BEGAN + timedelta(seconds=more.pop("ends")) if "ends" in more else None,
        "labels": labels,
        "annotations": {},
        "generatorURL": "",
        **more,
    }
    return kind.model_validate(content)


def raw(name: str, status: str, after: float, **more: Any) -> AlertEvent:
    return alert(RawEvent, name, status, after, valid_until=None, **more)


def processed(name: str, status: str, after: float, **more: Any) -> AlertEvent:
    values = {"receiver": "critical", "groupKey": "g", "groupLabels": {}, "truncatedAlerts": 0, "externalURL": ""}
    return alert(ProcessedEvent, name, status, after, group_status=status, **{**values, **more})


def test_alerts_that_began_meanwhile_are_told_once_with_their_end() -> None:
    events = raised(
        [
            raw("Old", "firing", 5, starts=-60),
            raw("Watchdog", "firing", 5),
            raw("Down", "firing", 10),
            raw("Down", "firing", 40, starts=10),
            raw("Down", "resolved", 55, starts=10, ends=50),
            raw("Many", "firing", 20, fingerprint="1" * 16),
            raw("Many", "firing", 25, fingerprint="2" * 16),
            raw("Many", "resolved", 31, starts=20, ends=30, fingerprint="1" * 16),
        ],
        BEGAN,
    )
    assert events == (
        Event(lane="alerts", what="Down (critical)", start=10.0, end=50.0),
        Event(lane="alerts", what="Many (critical), 2 times", start=20.0, end=None),
    )


def test_a_notification_about_several_alerts_is_one() -> None:
    events = notifications(
        [
            processed("A", "firing", 12),
            processed("B", "firing", 12),
            processed("AEscalated", "firing", 40, receiver="senior-manager"),
            processed("Watchdog", "firing", 13, receiver="heartbeat"),
            processed("A", "resolved", 60),
            processed("Before", "firing", -5),
        ],
        BEGAN,
    )
    assert [(event.start, event.what) for event in events] == [
        (12.0, "critical, firing, A, B"),
        (40.0, "senior-manager, firing, A"),
        (60.0, "critical, resolved, A"),
    ]
    assert all(event.moment for event in events)


def firing(name: str, severity: str, state: str = "active") -> FiringAlert:
    return FiringAlert(
        fingerprint="",
        labels={"alertname": name, "severity": severity},
        annotations={},
        starts=BEGAN,
        receivers=(),
        state=state,
        silenced_by=(),
        inhibited_by=(),
    )


def test_only_critical_alerts_that_count_make_it_unsteady() -> None:
    alerts = [
        firing("B", "critical"),
        firing("A", "critical"),
        firing("C", "high"),
        firing("D", "critical", "suppressed"),
        firing("Watchdog", "critical"),
    ]
    assert run.critical(alerts) == ["A", "B"]


def test_waiting_for_steadiness_is_bounded_and_says_what_is_wrong() -> None:
    left = iter([["a"], ["a"], []])
    assert run.wait_until_steady(lambda: next(left), 10, 0.01) == []
    began = time.monotonic()
    assert run.wait_until_steady(lambda: ["kafka: 2 of 3 ready"], 0.05, 0.02) == ["kafka: 2 of 3 ready"]
    assert time.monotonic() - began < 60
