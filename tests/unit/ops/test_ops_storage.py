"""What growing volumes would do, from claims as they are and sizes as the settings want them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.core.errors import OpsError
from ops.drills.procedures.storage import larger
from ops.storage import command
from ops.storage.claims import Claim, Plan, Step, Wanted, claim_of, of_part, plan, refusals, wanted_of
from ops.storage.grow import _reason
from tests.unit.ops.review_plans import deployment, stateful_set

KAFKA = Wanted(workload="kafka", template="data", size="2Gi", storage_class="fast")
NAMES = ("kafka", "kafka-controller", "prometheus-primary", "prometheus-secondary")
PARTS = [replace(KAFKA, workload=name) for name in NAMES]


def claim(name: str = "data-kafka-0", asked: str = "1Gi", capacity: str = "1Gi", **options: Any) -> Claim:
    return Claim(name=name, asked=asked, capacity=capacity, storage_class="fast", **options)


def made(
    *claims: Claim, template: str = "1Gi", expandable: Mapping[str, bool] | None = None, wanted: Sequence[Wanted] = ()
) -> Plan:
    templates = {one.workload: {"data": template} for one in wanted or (KAFKA,)}
    known = {one.name: one for one in claims}
    return plan(wanted or (KAFKA,), known, templates, {"fast": True} if expandable is None else expandable)


def test_what_is_wanted_is_what_stateful_sets_are_rendered_with() -> None:
    claims = [
        {
            "metadata": {"name": "data"},
            "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}},
        }
    ]
    rendered = [
        stateful_set(volumeClaimTemplates=claims),
        stateful_set("sampler", volumeClaimTemplates=[]),
        deployment("a"),
    ]
    assert wanted_of([planned.resource for planned in rendered]) == [KAFKA]


@pytest.mark.parametrize(
    ("part", "workloads"),
    [
        ("", NAMES),
        ("kafka", ("kafka",)),
        ("kafka-controller", ("kafka-controller",)),
        ("prometheus", ("prometheus-primary", "prometheus-secondary")),
    ],
)
def test_a_part_is_a_name_or_the_beginning_of_several(part: str, workloads: tuple[str, ...]) -> None:
    assert tuple(one.workload for one in of_part(PARTS, part)) == workloads


def test_an_unknown_part_is_told_with_what_there_is() -> None:
    with pytest.raises(OpsError, match="--part is 'kafak': allowed is one of kafka, kafka-controller, prometheus-pri"):
        of_part(PARTS, "kafak")


@pytest.mark.parametrize(
    ("asked", "capacity", "step"),
    [
        ("1Gi", "1Gi", Step.GROW),
        ("1Gi", "5Gi", Step.GROW),
        ("2Gi", "1Gi", Step.WAIT),
        ("2Gi", "", Step.WAIT),
        ("2048Mi", "2Gi", Step.NOTHING),
        ("2Gi", "3Gi", Step.NOTHING),
        ("3Gi", "3Gi", Step.SMALLER),
    ],
)
def test_a_claim_grows_waits_or_is_refused(asked: str, capacity: str, step: Step) -> None:
    assert [line.step for line in made(claim(asked=asked, capacity=capacity)).lines] == [step]


@pytest.mark.parametrize("expandable", [{"fast": False}, {}])
def test_a_class_that_lets_nothing_grow_or_is_gone_is_told(expandable: dict[str, bool]) -> None:
    [told] = refusals(made(claim(), claim("data-kafka-1"), expandable=expandable))
    assert told.startswith("kafka: its volumes are of the storage class fast, which does not let them grow")


def test_claims_are_those_of_the_pods_in_their_order_and_no_other_parts() -> None:
    names = ("data-kafka-10", "data-kafka-2", "data-kafka-controller-0", "data-kafka-old", "data-search-0")
    assert [line.claim.name for line in made(*map(claim, names)).lines] == ["data-kafka-2", "data-kafka-10"]


def test_a_template_that_is_behind_is_something_to_do_also_when_volumes_are_as_wanted() -> None:
    grown = claim(asked="2Gi", capacity="2Gi")
    assert (made(grown).templates, made(grown).to_do) == (["kafka"], True)
    assert (made(grown, template="2Gi").templates, made(grown, template="2Gi").to_do) == ([], False)


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({}, "data-kafka-0 has 1Gi: see `kubectl describe pvc data-kafka-0`, then repeat"),
        ({"NodeResizeError": "no room"}, "data-kafka-0 did not grow: no room"),
        (
            {"FileSystemResizePending": "waiting"},
            "data-kafka-0 is larger, its file system is not: this driver grows it when the pod starts: once every "
            "other pod is ready, `kubectl delete pod kafka-0`, then repeat",
        ),
    ],
)
def test_why_a_capacity_does_not_follow_and_who_does_what(conditions: dict[str, str], told: str) -> None:
    [line] = made(claim(asked="2Gi", conditions=conditions)).lines
    assert _reason(line) == told


def test_a_claim_of_the_api_server_is_read_with_the_conditions_that_hold() -> None:
    conditions = [
        {"type": "Resizing", "status": "True", "message": "on it"},
        {"type": "FileSystemResizePending", "status": "False"},
    ]
    item = {
        "metadata": {"name": "data-kafka-0"},
        "spec": {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"},
        "status": {"capacity": {"storage": "1Gi"}, "conditions": conditions},
    }
    assert claim_of(item) == claim(asked="2Gi", conditions={"Resizing": "on it"})


@pytest.mark.parametrize(("size", "next_size"), [("2Gi", "3Gi"), ("1536Mi", "3Gi"), ("9Ti", "9217Gi")])
def test_the_drill_takes_a_whole_gib_more(size: str, next_size: str) -> None:
    assert larger(size) == next_size


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cluster whose brokers have 1 GiB each; what was grown."""
    grown: list[str] = []

    class Nothing:
        def close(self) -> None:
            grown.append("closed")

    monkeypatch.setattr(command, "wanted_by", lambda stack: list(PARTS[:1]))
    monkeypatch.setattr(command.platform_module, "load", lambda stack: None)
    monkeypatch.setattr(command.Kube, "of", lambda platform: Nothing())
    monkeypatch.setattr(command, "Volumes", lambda kube: None)
    monkeypatch.setattr(command, "look", lambda volumes, wanted: made(claim(), wanted=wanted))
    monkeypatch.setattr(command, "grow", lambda kube, wanted, follow, limit: grown.append(wanted[0].size))
    return grown


def test_the_plan_is_shown_and_nothing_grows_unless_somebody_says_yes(cluster: list[str]) -> None:
    shown = CliRunner().invoke(app, ["storage", "grow", "--part", "kafka", "--dry-run"])
    assert (shown.exit_code, cluster) == (0, ["closed"])
    assert "data-kafka-0" in shown.output
    assert "grows (new pods too)" in shown.output
    refused = CliRunner().invoke(app, ["storage", "grow"])
    assert "nobody can be asked here: give --yes" in str(refused.exception)
    agreed = CliRunner().invoke(app, ["storage", "grow", "--yes"])
    assert (agreed.exit_code, cluster) == (0, ["closed", "closed", "2Gi", "closed"])


def test_the_plan_for_machines(cluster: list[str]) -> None:
    shown = CliRunner().invoke(app, ["storage", "grow", "--json"])
    content = json.loads(shown.output)
    assert (content["templates"], content["refused"]) == (["kafka"], [])
    assert content["claims"][0] == {
        "stateful_set": "kafka",
        "claim": "data-kafka-0",
        "asks_for": "1Gi",
        "has": "1Gi",
        "wanted": "2Gi",
        "storage_class": "fast",
        "step": "grow",
    }
