"""What the region drill counts: who took a number, which records are its own, which notification is a first one."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.drills.tools import load, region_traffic
from ops.drills.tools.accounts import Number
from ops.drills.tools.load import log_request
from ops.drills.tools.notifications import CRITICAL, Raised, Received
from ops.drills.tools.region_traffic import MovingLoad, logs_of, points_of, uncopied_s
from ops.drills.tools.regions import Command, Gateway, Name, mentions, resized, sizes
from tests.config.servers import eventually


class Places:
    """A name that leads somewhere, and what stands there: a status, or nobody."""

    def __init__(self) -> None:
        self.leads = "a"
        self.there: dict[str, int | None] = {"a": 200, "b": 200}
        self.requests: list[str] = []

    def host(self) -> str:
        return self.leads

    def at(self, host: str) -> Any:
        self.requests.append(host)
        places = self

        class Client:
            def metrics(self, request: Any, layer: str) -> tuple[int, int]:
                answer = places.there[host]
                if answer is None:
                    raise OpsError("no answer")
                return answer, 0

        return Client()


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    fake_places = Places()
    monkeypatch.setattr(region_traffic, "Gateway", lambda *_: fake_places)
    monkeypatch.setattr(load, "Web", lambda _: type("W", (), {"close": lambda _: None})())
    return fake_places


def test_numbers_are_counted_for_the_region_that_took_them(places: Places) -> None:
    name: Any = places
    platform: Any = None
    with MovingLoad(name, platform, "", workers=1, batch=2, pause=0.01, give_up_after=30) as moving:
        eventually(lambda: len(moving.by("a")) >= 6, 10, "the first region takes points")
        places.there["a"] = None
        cut = time.time()
        eventually(lambda: moving.ledger.retries > 0, 10, "a request is repeated")
        taken = set(moving.by("a"))
        places.leads = "b"
        eventually(lambda: len(moving.by("b")) >= 4, 10, "the second region takes points")
        first = moving.first("b", cut)
    assert first is not None
    assert first >= cut
    assert moving.first("a", first) is None
    assert set(moving.by("a")) == taken
    assert not taken & set(moving.by("b"))
    assert taken | set(moving.by("b")) == set(moving.ledger.acknowledged)


def test_what_nobody_takes_until_the_end_is_given_up(places: Places) -> None:
    name: Any = places
    platform: Any = None
    places.there["a"] = 503
    with MovingLoad(name, platform, "", workers=1, batch=3, pause=0.01, give_up_after=30) as moving:
        eventually(lambda: moving.ledger.retries > 0, 10, "a request is repeated")
    assert moving.ledger.acknowledged == {}
    assert moving.ledger.given_up == {(0, 0), (0, 1), (0, 2)}


@pytest.mark.parametrize(
    ("missing", "seconds"),
    [
        (set(), 0.0),
        ({(0, 4), (0, 5)}, 1.0),
        ({(0, 2)}, 2.0),
        ({(0, 0), (0, 1), (0, 2)}, 2.0),
    ],
)
def test_what_is_not_copied_is_counted_from_the_last_point_that_was(missing: set[Number], seconds: float) -> None:
    acknowledged = {(0, number): 100.0 + number // 2 for number in range(6)}
    assert uncopied_s(acknowledged, missing) == seconds


def test_only_records_of_the_own_load_are_counted() -> None:
    record = log_request("e2e-1234", [(0, 7), (0, 8)]).SerializeToString()
    assert logs_of("e2e-1234")(record) == {(0, 7), (0, 8)}
    assert logs_of("e2e-123")(record) == set()
    assert logs_of("other")(b"") == set()
    assert points_of("1234")(record) == set()


def notification(number: int, name: str, action: str, audience: str = "operators") -> Received:
    return Received(
        number=number,
        channel="phone",
        audience=audience,
        title=f"[CRITICAL] DataInconsistent {name}",
        body={"event_action": action, "summary": name},
        received_at=float(number),
    )


def test_a_first_notification_is_one_that_fires_and_was_not_escalated() -> None:
    raised = Raised(CRITICAL, "drill-1x", 0.0)
    notifications = [
        notification(1, "drill-1x", "trigger"),
        notification(2, "drill-2x", "trigger"),
        notification(3, "drill-1x", "resolve"),
        notification(4, "drill-1x", "trigger", "senior-manager"),
        notification(5, "drill-1x", "trigger"),
    ]
    assert [mention.number for mention in mentions(notifications, raised)] == [1, 5]


class Zone:
    def __init__(self) -> None:
        self.values: list[str] | None = ["198.18.0.20"]
        self.requests = 0

    def answer(self, name: str) -> Any:
        self.requests += 1
        if self.values is None:
            raise OpsError("Route 53 does not answer")
        return type("Answer", (), {"values": tuple(self.values)})()


def test_an_answer_is_kept_for_its_time_and_longer_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone()

    class Open:
        def __enter__(self) -> Zone:
            return zone

        def __exit__(self, *_: object) -> None: ...

    now = [100.0]
    monkeypatch.setattr("ops.drills.tools.regions.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("ops.drills.tools.regions.dns.zone", lambda _: Open())
    access: Any = type("Dns", (), {"names": {"otlp": "otlp.example"}, "ttl_s": 0.2})()
    name = Name(access)
    assert name.host() == "198.18.0.20"
    zone.values = ["198.19.0.50"]
    assert name.host() == "198.18.0.20"
    assert zone.requests == 1
    now[0] += 0.25
    assert name.host() == "198.19.0.50"
    zone.values = None
    now[0] += 0.25
    assert name.host() == "198.19.0.50"
    name.close()


def test_one_client_for_each_gateway_with_the_port_of_the_stack() -> None:
    seen: list[str] = []
    platform: Any = type(
        "P", (), {"otlp_http": "https://198.18.0.20:4318", "model_copy": lambda _, update: seen.append(update)}
    )()
    unused: Any = None
    gateway = Gateway(unused, platform, unused)
    assert gateway.at("198.19.0.50") is gateway.at("198.19.0.50")
    assert seen == [{"otlp_http": "https://198.19.0.50:4318"}]


def test_a_command_that_fails_says_what_it_said() -> None:
    command = Command("a-stack-that-is-not-there", ("dashboard", "none")).start()
    with pytest.raises(OpsError, match=r"`ops dashboard none` failed \(2\): .*dashboard 'none' does not exist"):
        command.result(60)
    assert not command.running
    assert command.failed
    command.stop()


def workload(name: str, containers: dict[str, tuple[Any, Any]], *, replicas: int | None = None, nodes: int = 0) -> Any:
    """A workload as Kubernetes has it: container -> requests and limits; a DaemonSet has nodes and no replicas."""
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name),
        spec=SimpleNamespace(
            replicas=replicas,
            template=SimpleNamespace(
                spec=SimpleNamespace(
                    containers=[
                        SimpleNamespace(name=container, resources=SimpleNamespace(requests=requests, limits=limits))
                        for container, (requests, limits) in containers.items()
                    ]
                )
            ),
        ),
        status=SimpleNamespace(desired_number_scheduled=nodes),
    )


def cluster(sets: list[Any], deployments: list[Any], daemons: list[Any]) -> Any:
    def answer(items: list[Any]) -> Any:
        return lambda namespace, **_: SimpleNamespace(items=items if namespace == "obs-b" else [])

    apps = SimpleNamespace(
        list_namespaced_stateful_set=answer(sets),
        list_namespaced_deployment=answer(deployments),
        list_namespaced_daemon_set=answer(daemons),
    )
    return SimpleNamespace(namespace="obs-b", apps=apps)


def test_sizes_are_pods_and_resources_of_every_kind_of_workload() -> None:
    asks = {"memory": "1Gi", "cpu": "1"}
    kube = cluster(
        [workload("kafka", {"kafka": (asks, {"memory": "2Gi"}), "tool": (None, None)}, replicas=3)],
        [workload("gone", {}, replicas=0)],
        [workload("otel-agent", {}, nodes=4)],
    )
    assert sizes(kube) == {
        "kafka": {
            "pods": "3",
            "kafka cpu request": "1",
            "kafka memory request": "1Gi",
            "kafka memory limit": "2Gi",
        },
        "gone": {"pods": "0"},
        "otel-agent": {"pods": "4"},
    }


def test_a_cluster_that_does_not_answer_is_told() -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no route")

    kube: Any = SimpleNamespace(
        namespace="obs-b",
        apps=SimpleNamespace(
            list_namespaced_stateful_set=refuse, list_namespaced_deployment=None, list_namespaced_daemon_set=None
        ),
    )
    with pytest.raises(OpsError, match="cannot list the workloads of obs-b: no route"):
        sizes(kube)


def test_what_is_resized_is_told_with_before_and_after() -> None:
    before = {
        "same": {"pods": "2", "same cpu request": "1"},
        "more": {"pods": "2", "more cpu request": "1"},
        "larger": {"pods": "1", "larger cpu request": "500m", "larger memory limit": "1Gi"},
        "leaves": {"pods": "1", "leaves cpu request": "1"},
        "none": {"pods": "0"},
    }
    after = {
        "same": {"pods": "2", "same cpu request": "1"},
        "more": {"pods": "3", "more cpu request": "1"},
        "larger": {"pods": "1", "larger cpu request": "2", "larger cpu limit": "4"},
        "comes": {"pods": "2", "comes cpu request": "1"},
    }
    assert resized(before, after) == {
        "comes": "pods 0 to 2",
        "larger": "larger cpu request 500m to 2, larger memory limit 1Gi to none, larger cpu limit none to 4",
        "leaves": "pods 1 to 0",
        "more": "pods 2 to 3",
    }
    assert resized(before, before) == {}
