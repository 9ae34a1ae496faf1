"""The release of Kafka that the lab's first region begins with: what is chosen, kept and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import LabError, environment, registry
from lab import stack as stacks
from lab.cluster import lifecycle
from lab.paths import LabPaths
from lab.toolchain import containers
from lab.toolchain.recipes import PREVIOUS_KAFKA

PINNED, BEFORE, OTHER = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    """A lab whose registry has both releases."""
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    lab_paths = LabPaths("x")
    lab_paths.state.mkdir(parents=True)
    publish(lab_paths, {"kafka": PINNED, "otelcol": OTHER, containers.KAFKA_BEFORE: BEFORE})
    return lab_paths


def publish(paths: LabPaths, digests: dict[str, str]) -> None:
    (paths.state / registry.DIGESTS).write_text(json.dumps(digests))


def copy_of(paths: LabPaths, stack: str = "local") -> Path:
    return environment.project(paths) / f"Pulumi.{stack}.yaml"


def digests(paths: LabPaths, stack: str = "local") -> Any:
    """As the program would find them, after the copies were made anew."""
    return yaml.safe_load(copy_of(paths, stack).read_text())["config"]["observability:settings"]["images"]["digests"]


def by_hand(paths: LabPaths, digest: str) -> None:
    """Write Kafka's digest into the copy, as a drill does by `pulumi config set`."""
    file = copy_of(paths)
    content = yaml.safe_load(file.read_text())
    content["config"]["observability:settings"]["images"]["digests"]["kafka"] = digest
    file.write_text(yaml.safe_dump(content))


def test_a_platform_runs_the_pinned_release_unless_somebody_asks_for_the_one_before(paths: LabPaths) -> None:
    assert digests(paths) == {"kafka": PINNED, "otelcol": OTHER}
    assert environment.upgrade_digest(paths) == {"OBS_DRILL_KAFKA_DIGEST": PINNED}
    stacks.set_release(paths, "local", previous=True)
    for _ in range(2):
        assert digests(paths) == {"kafka": BEFORE, "otelcol": OTHER}
        assert environment.upgrade_digest(paths) == {"OBS_DRILL_KAFKA_DIGEST": PINNED}, "what a drill goes to"
    assert digests(paths, "local-dr")["kafka"] == PINNED
    stacks.set_release(paths, "local", previous=False)
    assert digests(paths)["kafka"] == PINNED


def test_what_a_drill_has_upgraded_is_not_taken_back_by_the_next_command(paths: LabPaths) -> None:
    stacks.set_release(paths, "local", previous=True)
    by_hand(paths, PINNED)
    assert digests(paths)["kafka"] == PINNED
    by_hand(paths, BEFORE)
    assert digests(paths)["kafka"] == BEFORE
    environment.forget_changes(paths, "local")
    assert digests(paths)["kafka"] == PINNED, "a destroyed platform begins anew"


def test_a_digest_that_the_lab_does_not_know_is_not_kept(paths: LabPaths) -> None:
    by_hand(paths, OTHER)
    assert digests(paths)["kafka"] == PINNED
    publish(paths, {"kafka": PINNED})
    assert not environment.runs_previous_kafka(paths, "local")
    with pytest.raises(LabError, match=r"^the registry of images has no Kafka: run `make up`$"):
        stacks.set_release(paths, "local", previous=True)


def test_the_release_before_is_refused_where_a_newer_one_runs(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    present = {"default"}
    monkeypatch.setattr(lifecycle, "namespaces", lambda _: present)
    stacks.refuse_on_a_newer_one(paths, "local")
    present.add("obs-local")
    environment.project(paths)
    with pytest.raises(LabError, match=r"^obs-local runs a newer release of Kafka, .*: run `make destroy` first"):
        stacks.refuse_on_a_newer_one(paths, "local")
    stacks.set_release(paths, "local", previous=True)
    stacks.refuse_on_a_newer_one(paths, "local")


@pytest.mark.parametrize(
    ("release", "stack", "message"),
    [
        ("4.2.0", "local", r"^--kafka 4\.2\.0: allowed are pinned, previous$"),
        ("previous", "local-dr", r"^--kafka previous is for the stack local alone, not for local-dr$"),
    ],
)
def test_a_choice_that_there_is_not_is_one_line(release: str, stack: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        stacks.is_previous(release, stack)


def test_the_image_of_the_release_before_is_built_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "build_previous_kafka", lambda: "sha256:1")
    assert not stacks.is_previous("pinned", "local-dr")
    assert stacks.kafka_built(False) == {}
    assert stacks.is_previous("previous", "local")
    assert stacks.kafka_built(True) == {containers.KAFKA_BEFORE: "sha256:1"}
    assert registry.reference(containers.KAFKA_BEFORE) == f"obs/kafka:{PREVIOUS_KAFKA}"


def test_the_release_before_stays_known_when_images_are_sent_again(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sender:
        def __init__(self, *_: object) -> None:
            pass

        def answers(self) -> bool:
            return True

        def close(self) -> None:
            pass

    def at_once(_: str, check: Callable[[], bool], **__: object) -> None:
        assert check()

    monkeypatch.setattr(registry, "Registry", Sender)
    monkeypatch.setattr(registry, "daemon", lambda _: type("Daemon", (), {"pid": lambda self: 1})())
    monkeypatch.setattr(registry, "_secrets", lambda _: registry.Secrets())
    monkeypatch.setattr(registry, "wait_until", at_once)
    monkeypatch.setattr(registry.images, "server_images", lambda: ())
    monkeypatch.setattr(registry, "_push", lambda paths, sender, name, image: f"{name} {image}")
    assert registry.publish(paths, {"kafka": "1"})[containers.KAFKA_BEFORE] == BEFORE
    sent = registry.publish(paths, {"kafka": "1", containers.KAFKA_BEFORE: "2"})
    assert sent[containers.KAFKA_BEFORE] == f"obs/kafka:{PREVIOUS_KAFKA} 2"
    assert registry.previous_kafka(paths) == sent[containers.KAFKA_BEFORE]
