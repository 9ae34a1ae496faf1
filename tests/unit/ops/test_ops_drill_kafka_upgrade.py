"""The drill that upgrades Kafka: what it notes, what it refuses, and that it goes back where something fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.kafka.config import BROKERS, CONTROLLERS
from components.versions import release
from ops.core import jobs
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.drills.procedure import CannotRunError
from ops.drills.procedures import kafka_upgrade
from ops.drills.procedures.kafka import InSync
from ops.drills.procedures.kafka_upgrade import upgrade_kafka
from ops.drills.run import find
from ops.evidence import files as evidence
from ops.evidence.reading import named
from tests.support.running import running
from tests.unit.ops.test_ops_drill_procedures import Load, Producer

OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
RELEASES = {OLD: "4.2.0", NEW: release("kafka")}
NEWEST = f"{kafka_upgrade.series(release('kafka'))}-IV0"
DESCRIBED = (
    "Feature: kraft.version\tSupportedMinVersion: 0\tSupportedMaxVersion: 1\tFinalizedVersionLevel: 1\tEpoch: 5\n"
    "Feature: metadata.version\tSupportedMinVersion: 3.3-IV3\tSupportedMaxVersion: {newest}\t"
    "FinalizedVersionLevel: {level}\tEpoch: 5\n"
)


class Live:
    """Brokers, and controllers of their own, that run what the stack file says after an update."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wanted = self.digest = OLD
        self.level = "4.2-IV1"
        self.updates: list[str] = []
        self.fails_at, self.lowers, self.raises, self.sticks = 0, False, True, False
        self.looks = 12
        self.lost = 0
        monkeypatch.setenv(kafka_upgrade.VARIABLE, NEW)
        monkeypatch.setattr(kafka_upgrade, "pulumi", SimpleNamespace(set_digest=self._set, up=self._up))
        monkeypatch.setattr(kafka_upgrade, "settle", lambda _: None)
        monkeypatch.setattr(kafka_upgrade, "OtlpLoad", self._points)
        monkeypatch.setattr(kafka_upgrade, "ProducerLoad", Producer)
        monkeypatch.setattr(kafka_upgrade, "scratch_topic", scratch_topic)
        monkeypatch.setattr(kafka_upgrade, "QueryRunner", self._asking)
        monkeypatch.setattr(jobs, "run_in_pod", self._program)
        kube = SimpleNamespace(
            pods=self.pods, ready_pod=lambda workload: self.pods(workload)[0], wait_rolled=lambda _: 1.0
        )
        states = {name: SimpleNamespace(in_sync=(3, 2)) for name in ("scratch", "telemetry-metrics")}
        kafka = SimpleNamespace(end_offsets=lambda _: {}, topics=lambda: states)
        platform = SimpleNamespace(topics=("telemetry-metrics",))
        self.context = cast(Context, SimpleNamespace(kube=kube, kafka=kafka, platform=platform))

    def run(self) -> tuple[list[str], dict[str, Any]]:
        figures: dict[str, Any] = {}
        return upgrade_kafka(self.context, figures), figures

    def pods(self, workload: str) -> list[Pod]:
        image = f"registry.example/obs/kafka:{release('kafka')}@{self.digest}"
        return [running(f"{workload}-{index}", workload, containers=("kafka",), images=(image,)) for index in range(3)]

    def _set(self, image: str, digest: str) -> None:
        assert image == "kafka"
        self.wanted = digest

    def _up(self) -> None:
        self.updates.append(RELEASES[self.wanted])
        if len(self.updates) == self.fails_at:
            raise OpsError("`pulumi up` failed")
        if not self.sticks:
            self.digest = self.wanted

    def _program(self, _: Kube, pod: str, container: str, command: tuple[str, ...]) -> str:
        assert (pod.rpartition("-")[0] in (BROKERS, CONTROLLERS), container) == (True, "kafka")
        if command[-1] == "--version":
            return f"{RELEASES[self.digest]} (Commit:abc)\n"
        newest = f"{kafka_upgrade.series(RELEASES[self.digest])}-IV0"
        if "describe" in command:
            return DESCRIBED.format(newest=newest, level=self.level)
        if "upgrade" in command:
            assert command[-2:] == ("--release-version", kafka_upgrade.series(release("kafka")))
            self.level = newest if self.raises else self.level
        elif self.lowers:
            self.level = "4.2-IV1"
        else:
            raise OpsError("java in kafka-0 failed: 7 out of 7 operation(s) failed.")
        return ""

    def _points(self, _: Context) -> Load:
        load = Load()
        load.lost = self.lost
        return load

    @contextmanager
    def _asking(self, question: Any) -> Iterator[None]:
        for _ in range(self.looks):
            question()
        yield


@contextmanager
def scratch_topic(_: Context) -> Iterator[str]:
    yield "scratch"


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    return Live(monkeypatch)


def test_kafka_goes_there_and_back_and_there_and_every_figure_is_noted(live: Live) -> None:
    problems, figures = live.run()
    assert problems == []
    new = release("kafka")
    assert live.updates == [new, "4.2.0", new]
    assert (live.wanted, live.digest, live.level) == (NEW, NEW, NEWEST)
    assert figures["releases"] == f"4.2.0 to {new} to 4.2.0 to {new}"
    assert list(figures["rolled in s"]) == [f"4.2.0 to {new}", f"{new} to 4.2.0", f"4.2.0 to {new} again"]
    assert (figures["format"], figures["refused to lower it"]) == (f"4.2-IV1 to {NEWEST}", True)
    drill, entry = find("kafka-upgrade"), evidence.catalog().entry("kafka-upgraded")
    wanted = {name for texts in (*drill.figures.values(), (entry.text,)) for text in texts for name in named(text)}
    assert [name for name in sorted(wanted) if evidence.figure(figures, name) is None] == []
    assert [problem for target in entry.targets if (problem := target.problem(figures))] == []


def test_a_platform_that_did_not_begin_with_the_release_before_is_refused_with_what_to_do(live: Live) -> None:
    live.digest = NEW
    with pytest.raises(
        CannotRunError,
        match=rf"^the brokers run Kafka {release('kafka')}, not one release before .*lab up --kafka previous`\)$",
    ):
        live.run()
    assert live.updates == []


@pytest.mark.parametrize("digest", ["", "4.3.1", "sha256:abc"])
def test_without_the_digest_of_the_new_release_nothing_is_begun(
    live: Live, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    monkeypatch.setenv(kafka_upgrade.VARIABLE, digest)
    with pytest.raises(CannotRunError, match=r"^OBS_DRILL_KAFKA_DIGEST must have the digest of "):
        live.run()
    assert live.updates == []


def test_pods_without_a_digest_cannot_be_taken_back_to(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = running("kafka-0", BROKERS, containers=("kafka",), images=("registry.example/obs/kafka:4.3.1",))
    monkeypatch.setattr(live.context.kube, "pods", lambda _: [pod])
    with pytest.raises(CannotRunError, match=r"^Kafka's pods do not run one image by its digest"):
        kafka_upgrade.running_digest(live.context.kube)


@pytest.mark.parametrize("failed", [1, 2, 3])
def test_where_an_update_fails_kafka_goes_back_to_the_release_that_it_had(live: Live, failed: int) -> None:
    live.fails_at = failed
    with pytest.raises(OpsError, match="`pulumi up` failed"):
        live.run()
    assert (live.wanted, live.updates[-1], live.level) == (OLD, "4.2.0", "4.2-IV1")


def test_a_node_that_stays_at_the_old_release_ends_the_drill(live: Live) -> None:
    live.sticks = True
    with pytest.raises(OpsError, match=rf"^not every node runs Kafka {release('kafka')}: "):
        live.run()
    assert live.wanted == OLD


def test_a_format_that_stays_or_is_lowered_is_a_problem(live: Live) -> None:
    live.lowers = True
    assert live.run()[0] == [f"Kafka lowered the format from {NEWEST} to 4.2-IV1"]


def test_a_format_that_was_not_raised_is_a_problem_and_the_newer_release_stays(live: Live) -> None:
    live.raises = False
    assert live.run()[0] == [f"the format is 4.2-IV1, not one of {kafka_upgrade.series(release('kafka'))}"]
    assert live.wanted == NEW


def test_an_answer_that_does_not_come_is_no_refusal(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> str:
        raise OpsError("java in kafka-0 took over 60 s and was ended")

    monkeypatch.setattr(jobs, "run_in_pod", silent)
    with pytest.raises(OpsError, match="took over 60 s"):
        kafka_upgrade.refuses_to_lower(live.context.kube, "4.2.0")


def test_what_is_lost_is_a_problem(live: Live) -> None:
    live.lost = 1
    problems, figures = live.run()
    stores = ("Kafka", "prometheus-primary", "prometheus-secondary")
    assert problems == [f"1 acknowledged points are not in {store}" for store in stores]
    assert figures["missing"] == 3


def test_too_few_copies_in_sync_and_too_few_looks_are_problems(live: Live) -> None:
    live.looks = 3
    assert live.run()[0] == ["only 3 looks at the copies in sync"]
    in_sync = InSync(cast(Context, SimpleNamespace(kafka=SimpleNamespace(topics=thin))), ("any",))
    for _ in range(20):
        in_sync.look()
    assert in_sync.note({}) == ["a partition had 1 copies in sync, must be at least 2"]


def test_a_look_without_an_answer_about_every_topic_is_none() -> None:
    in_sync = InSync(cast(Context, SimpleNamespace(kafka=SimpleNamespace(topics=thin))), ("any", "other"))
    with pytest.raises(OpsError, match=r"^Kafka knows no other$"):
        in_sync.look()
    assert in_sync.polls == 0


def thin() -> dict[str, Any]:
    return {"any": SimpleNamespace(in_sync=(3, 1))}


def test_what_kafka_does_not_tell_is_one_line(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "run_in_pod", lambda *_: "Feature: group.version\tFinalizedVersionLevel: 1\n")
    with pytest.raises(OpsError, match=r"^no metadata\.version in what Kafka tells: "):
        kafka_upgrade.metadata_format(live.context.kube)
