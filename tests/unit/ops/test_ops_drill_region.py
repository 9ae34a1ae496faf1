"""The drill of a region: what it needs, what it takes away and puts back, and what it says of its figures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import CAUGHT_UP
from ops.core.platform import ClusterIdentity
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import region
from ops.drills.procedures.region import DETECTED_BY, opened, problems
from ops.drills.run import find
from ops.drills.tools import outside, region_traffic, regions
from ops.drills.tools.accounts import Ledger, Number
from ops.drills.tools.notifications import SLACK, NotificationRecord, Received
from ops.drills.tools.outside import VARIABLE
from ops.drills.tools.region_traffic import GROUP, Pair
from ops.drills.tools.regions import Side
from ops.evidence import files as evidence
from ops.evidence.reading import named

A, B = "198.18.0.20", "198.19.0.50"


class Record:
    """Notifications: whoever raises a condition is told of it at once, but for what happens in the gap."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    def add(self, channel: str, name: str) -> None:
        body = {"event_action": "trigger", "text": name}
        number = len(self.received) + 1
        self.received.append(
            Received(
                number=number,
                channel=channel,
                audience="on-call",
                title="[X] Y",
                body=body,
                received_at=time.time(),
            )
        )

    def since(self, start: int) -> list[Received]:
        return self.received[start:]

    def newest(self) -> int:
        return len(self.received)


class Platform(str):
    """One that is told from the other by its name."""

    prometheus_replicas = ("primary", "secondary")
    other_cluster = True

    @property
    def cluster(self) -> ClusterIdentity:
        return ClusterIdentity(context=f"in-{self}", uid=f"uid-{self if self.other_cluster else 'a'}")


class Harness:
    """Two regions that do as they should: who is cut off tells nobody, and the other one takes over when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cut = folder, folder / "cut"
        self.record = Record()
        self.leads, self.waiting = A, list[tuple[str, str]]()
        self.given: list[tuple[str, ...]] = []
        self.fails = ""
        self.notifies = True
        self.unread = 0
        self.committed = True
        self.late = ""
        self.asked_for: set[str] = set()
        self.swapped: list[tuple[str, ...]] = []
        self.refusal = "`ops failback` failed (1): the context in-b leads to the cluster uid-a, but another is named"

    @property
    def is_cut(self) -> bool:
        return self.cut.exists()

    @property
    def sizes(self) -> regions.Sizes:
        mirror = {"mirror-maker": {"pods": "1"}} if self.leads == A else {}
        return {"gateway": {"pods": "2"}, **mirror}

    def rolled(self) -> float:
        if self.late:
            raise OpsError(self.late)
        return 0.1

    def lag(self, group: str) -> dict[str, int]:
        self.asked_for.add(group)
        return {"telemetry-metrics": self.unread, "telemetry-other": 1} if self.committed else {}

    def raised(self, kind: Any, name: str) -> None:
        if self.is_cut or kind.channel == SLACK:
            self.waiting.append((kind.channel, name))
        else:
            self.record.add(kind.channel, name)

    def give(self, words: tuple[str, ...], variables: dict[str, str]) -> dict[str, Any]:
        if variables:
            assert variables == {"KUBECONFIG": str(self.folder / "swapped.kubeconfig")}
            self.swapped.append(words[:3])
            if self.refusal:
                raise OpsError(self.refusal)
            return {}
        self.given.append(words)
        if words[0] == "regions":
            states = [{"region": "region-a", "notifies": self.notifies}, {"region": "region-b", "notifies": False}]
            return {"mirror_latency_s": 0.4, "regions": states, "problems": [], "differences": []}
        if words[0] == self.fails:
            raise OpsError(f"`ops {words[0]}` failed (1): no lease")
        if words[0] == "failover":
            self.leads = B
            for channel, name in self.waiting:
                self.record.add(channel, name)
        else:
            self.leads = A
        return {"steps": {"check": {"seconds": 1.5}}, "problems": [], "figures": {"rto_s": 9.0}}


class Command:
    def __init__(self, harness: Harness, words: tuple[str, ...], variables: dict[str, str]) -> None:
        self.began = self.ended = time.time()
        self.problem: OpsError | None = None
        try:
            self._report = harness.give(words, variables)
        except OpsError as error:
            self.problem = error
        self.running = False

    @property
    def failed(self) -> bool:
        return self.problem is not None

    def result(self, seconds: float = 0.0) -> dict[str, Any]:
        if self.problem is not None:
            raise self.problem
        return self._report

    def seconds(self) -> float:
        return 1.5

    def stop(self) -> None:
        pass


class Load:
    """Numbers that the region which the name leads to takes, at each look."""

    run_id, service = "run", "e2e-run"

    def __init__(self, harness: Harness) -> None:
        self._harness, self.ledger = harness, Ledger()
        self.takers: dict[Number, str] = {}

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        pass

    def run_for(self, seconds: float) -> None:
        self._take()

    def _take(self) -> None:
        if self._harness.leads == A and self._harness.is_cut:
            return
        number = (0, len(self.takers))
        self.takers[number] = self._harness.leads
        self.ledger.acknowledge([number], time.time())

    def by(self, host: str) -> dict[Number, float]:
        return {number: at for number, at in self.ledger.acknowledged.items() if self.takers[number] == host}

    def first(self, host: str, since: float) -> float | None:
        self._take()
        return min((at for at in self.by(host).values() if at >= since), default=None)


class Group:
    """A consumer that reads two numbers in each region, one of them again."""

    def __init__(self, platform: Any, *_: object) -> None:
        self.had = {(0, 0), (0, 1), (0, 2)} if platform == "a" else {(0, 2), (0, 3)}

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def halt(self) -> None:
        pass

    def wait_for(self, *_: object) -> None:
        pass


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    harness = Harness(tmp_path)
    load = Load(harness)
    alert = SimpleNamespace(name=DETECTED_BY)
    silence = SimpleNamespace(author=region.FAILOVER_AGENT, state="active")
    member = SimpleNamespace(alerts=lambda: [alert] if harness.is_cut else [], silences=lambda: [silence])

    def context(name: str, host: str) -> Context:
        return cast(
            Context,
            SimpleNamespace(
                platform=Platform("a" if name == "a" else "b"),
                kube=SimpleNamespace(
                    pods=lambda _: [SimpleNamespace(name="alertmanager-0")], wait_all_rolled=harness.rolled
                ),
                kafka=SimpleNamespace(end_offsets=lambda _: {0: 0}, lag=harness.lag),
                alertmanager=lambda *_: member,
            ),
        )

    class Region(Side):
        @property
        def namespace(self) -> str:
            return "obs-local"

    def side(name: str, host: str) -> Side:
        access = SimpleNamespace(
            region=f"region-{name}",
            targets={"otlp": host},
            dns=SimpleNamespace(),
            mirror=SimpleNamespace(groups=(GROUP,)) if name == "b" else None,
        )
        return Region(context(name, host), cast(Any, access), "" if name == "a" else "organization/p/b")

    # The clock of the first region is an hour ahead.
    heart = SimpleNamespace(
        sighting=lambda _: SimpleNamespace(
            heartbeat=SimpleNamespace(at=datetime.now(UTC) + timedelta(hours=1), notifies=False),
            age_s=90.0 if harness.is_cut else 0.0,
        )
    )

    class TestPair(Pair):
        def give(self, *words: str, **variables: str) -> Any:
            return Command(harness, words, variables)

    @contextmanager
    def pair(context: Context, folder: Path) -> Iterator[Pair]:
        name = cast(Any, SimpleNamespace(host=lambda: harness.leads))
        record = cast(NotificationRecord, harness.record)
        yield TestPair(side("a", A), side("b", B), name, record, cast(Any, heart), "", tmp_path)

    class Injector:
        def __init__(self, _: object) -> None:
            self.raised: list[Any] = []

        def __enter__(self) -> Injector:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def raise_one(self, kind: Any) -> Any:
            self.raised.append(region.Raised(kind, f"drill-{len(self.raised)}x", time.time()))
            harness.raised(kind, self.raised[-1].name)
            return self.raised[-1]

        def end(self) -> None:
            pass

    def looked(condition: Any, seconds: float, what: str, *_: object) -> float:
        for _ in range(3):
            if condition():
                return 0.1
        raise OpsError(f"waited {seconds:.0f} s in vain for {what}")

    questions = type("Q", (nullcontext,), {"requested": 12, "unanswered": 0})
    for module, stubs in {
        region: {
            "opened": pair,
            "is_settled": lambda _: True,
            "sizes": lambda _: harness.sizes,
            "wait_until": looked,
            "MovingLoad": lambda *_, **__: load,
            "LogLoad": lambda *_, **__: load,
            "Gateway": lambda *_: SimpleNamespace(logs=lambda _: None),
            "Group": Group,
            "Injector": Injector,
            "Questions": lambda *_: questions(),
            "Web": lambda _: SimpleNamespace(close=lambda: None),
            "query_client": lambda _: None,
            "answered_before": lambda *_: None,
            "readable": lambda *_: True,
            "time": SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=lambda _: None),
        },
        outside: {"write_swapped": lambda *named: harness.swapped.append(named[1:])},
        region_traffic: {
            "Group": Group,
            "numbers_in": lambda context, topic, *_: set(load.takers) | {(0, 3)},
            "arrived": lambda *_: set(load.takers),
            "committed": lambda *_: {0: 5, 1: 6},
        },
    }.items():
        for name, stub in stubs.items():
            monkeypatch.setattr(module, name, stub)
    commands = {
        "cut": ["sh", "-c", f"echo {{namespace}} cut off; touch {harness.cut}"],
        "thaw": ["sh", "-c", f"touch {tmp_path}/thawed-{{namespace}}"],
        "reconnect": ["rm", "-f", str(harness.cut)],
        "beside": ["sh", "-c", f"touch {tmp_path}/beside; cat; rm {tmp_path}/beside"],
    }
    (tmp_path / "commands").write_text(json.dumps({"region": commands}))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "commands"))
    return harness


def carried_out() -> tuple[list[str], dict[str, Any]]:
    figures: dict[str, Any] = {}
    return region.lose_region(cast(Context, None), figures), figures


def test_a_region_is_cut_off_taken_over_and_handed_back(harness: Harness, tmp_path: Path) -> None:
    said, figures = carried_out()
    assert said == []
    assert not harness.is_cut
    assert (tmp_path / "thawed-obs-local").exists()
    assert not (tmp_path / "beside").exists()
    assert [words[:3] for words in harness.given] == [
        ("regions", "--json"),
        ("failover", "--to", "region-b"),
        ("failback", "--to", "region-a"),
    ]
    assert harness.swapped == [("in-a", "in-b"), ("failback", "--to", "region-a")]
    assert figures["how"] == "obs-local cut off"
    assert figures["heartbeat older than 60 s after s"] is not None
    assert harness.asked_for == {"metrics-consumer-primary", "metrics-consumer-secondary"}
    assert figures["workloads resized"] == {"mirror-maker": "pods 1 to 0"}
    drill, entry = find("region"), evidence.catalog().entry("region-drill")
    texts = [*(text for texts in drill.figures.values() for text in texts), entry.text]
    wanted = {figure for text in texts for figure in named(text)} | {target.figure for target in entry.targets}
    assert [figure for figure in sorted(wanted) if evidence.figure(figures, figure) is None] == []
    assert [problem for target in entry.targets if (problem := target.problem(figures))] == []
    lanes = {lane for lane, *_ in figures["timeline"]}
    assert lanes == {"notices", "drill", "alerts"}


def test_a_region_that_is_not_ready_after_its_promotion_hands_back_and_is_told(harness: Harness) -> None:
    harness.late = "waited 900 s in vain for every pod to be ready as updated: gateway"
    said, figures = carried_out()
    assert said == [f"workloads of the second region: {harness.late}"]
    assert (figures["workloads ready after s"], figures["workloads resized"]) == (None, None)
    assert [words[0] for words in harness.given] == ["regions", "failover", "failback"]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ("", "with swapped contexts `ops failback` wrote the settings of region-a into another cluster"),
        ("`pulumi up` failed", "with swapped contexts `ops failback` said: `pulumi up` failed"),
    ],
)
def test_a_failback_into_the_other_cluster_fails_the_drill(harness: Harness, refusal: str, message: str) -> None:
    harness.refusal = refusal
    with pytest.raises(OpsError, match=message):
        carried_out()
    assert [words[0] for words in harness.given] == ["regions", "failover"]


def test_regions_that_share_a_cluster_have_no_contexts_to_swap(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Platform, "other_cluster", False)
    said, figures = carried_out()
    assert (said, figures["clusters"], harness.swapped) == ([], 1, [])


def test_only_the_two_contexts_change_places() -> None:
    leads = {"in-a": {"cluster": "a", "user": "u"}, "in-b": {"cluster": "b", "user": "v"}, "c": {"cluster": "c"}}
    kubeconfig = {"contexts": [{"name": name, "context": context} for name, context in leads.items()], "users": []}
    after = outside.swapped(kubeconfig, "in-a", "in-b")
    assert {entry["name"]: entry["context"] for entry in after["contexts"]} == {
        "in-a": leads["in-b"],
        "in-b": leads["in-a"],
        "c": leads["c"],
    }
    assert after["users"] == []
    with pytest.raises(OpsError, match="the kubeconfig has no context gone"):
        outside.swapped(kubeconfig, "in-a", "gone")


def test_a_failover_that_fails_ends_the_drill_at_once_and_the_region_is_reconnected(harness: Harness) -> None:
    harness.fails = "failover"
    figures: dict[str, Any] = {}
    with pytest.raises(OpsError, match=r"`ops failover` failed \(1\): no lease"):
        region.lose_region(cast(Context, None), figures)
    assert not harness.is_cut
    assert figures["steady"] == {"copy behind s": 0.4, "differences": 0}
    assert figures["timeline"]


def test_what_on_call_hears_before_the_cut_makes_no_gap(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "raised", lambda kind, name: harness.record.add(kind.channel, name))
    with pytest.raises(OpsError, match="notified before the cut of what the gap should have"):
        carried_out()
    assert not harness.is_cut


@pytest.mark.parametrize(
    ("attribute", "value", "error", "message"),
    [
        ("leads", B, CannotRunError, f"the name leads to {B}, and region-a is at {A}: fail back first"),
        ("notifies", False, OpsError, "before the drill region-a does not notify"),
        ("committed", False, OpsError, "in vain for the consumers of region-b to have read what was copied"),
        ("unread", CAUGHT_UP, OpsError, "in vain for the consumers of region-b to have read what was copied"),
    ],
)
def test_regions_that_are_not_as_they_must_be_are_left_alone(
    attribute: str, value: Any, error: type[OpsError], message: str, harness: Harness
) -> None:
    setattr(harness, attribute, value)
    with pytest.raises(error, match=message):
        carried_out()
    assert not harness.is_cut
    assert not any(words[0] == "failover" for words in harness.given)


def test_a_region_that_could_not_be_reconnected_is_never_cut_off(harness: Harness, tmp_path: Path) -> None:
    content = json.loads((tmp_path / "commands").read_text())
    content["region"]["reconnect"] = ["false"]
    (tmp_path / "commands").write_text(json.dumps(content))
    with pytest.raises(CannotRunError, match="region-a could not be put back: `false` failed"):
        carried_out()
    assert harness.given == []
    assert not harness.is_cut


GOOD = {
    "workloads not ready": "",
    "points given up": 0,
    "told by B of the gap": 2,
    "fired in the gap": 2,
    "group read in B": 680,
    "group read again": 40,
    "group had read in A": 2130,
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"workloads not ready": "in vain: kafka"}, ["workloads of the second region: in vain: kafka"]),
        ({"points given up": 3}, ["3 points were never acknowledged"]),
        ({"told by B of the gap": 1}, ["1 notifications were about 2 alerts of the gap"]),
        ({"group read in B": 0}, ["the group read nothing in the second region"]),
        ({"group read again": 2130}, ["the group read 2130 of 2130 records again"]),
    ],
)
def test_each_promise_of_a_region_is_looked_at(change: dict[str, Any], told: list[str]) -> None:
    assert problems({**GOOD, **change}) == told


def access(**changes: Any) -> Any:
    peer = SimpleNamespace(stack="organization/p/b", region="region-b")
    return SimpleNamespace(**{"peer": peer, "region": "region-a", "dns": None, "mirror": None, **changes})


def context_of(regions_output: Any) -> Context:
    return cast(Context, SimpleNamespace(platform=SimpleNamespace(regions=regions_output)))


@pytest.mark.parametrize("output", [None, access(peer=None)])
def test_a_platform_of_one_region_is_told_what_is_missing(output: Any) -> None:
    with (
        pytest.raises(CannotRunError, match="no other region: name it in the stack file"),
        regions.both(context_of(output)),
    ):
        pass


def test_another_region_that_is_not_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[str] = []

    def load(stack: str) -> Any:
        stacks.append(stack)
        raise OpsError("the stack has no outputs: run `pulumi up --policy-pack policy` first")

    monkeypatch.setattr(regions.platform_module, "load", load)
    with (
        pytest.raises(CannotRunError, match="the other region, region-b, cannot be reached: the stack has no outputs"),
        regions.both(context_of(access())),
    ):
        pass
    assert stacks == ["organization/p/b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no name moves between the regions: name them in the stack file of region-b"),
        ({"dns": SimpleNamespace()}, f"does not translate the offsets of the group {GROUP}"),
        ({"dns": SimpleNamespace(), "mirror": SimpleNamespace(groups=("other",))}, f"offsets of the group {GROUP}"),
    ],
)
def test_what_a_pair_lacks_is_told(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a, b = Side(context_of(None), access()), Side(context_of(None), access(region="region-b", **changes))
    monkeypatch.setattr(region, "both", lambda _: nullcontext((a, b)))
    monkeypatch.setattr(region, "witness_of", lambda _: nullcontext())
    monkeypatch.setattr(NotificationRecord, "of_environment", classmethod(lambda _: Record()))
    with pytest.raises(CannotRunError, match=message), opened(context_of(None), tmp_path):
        pass
