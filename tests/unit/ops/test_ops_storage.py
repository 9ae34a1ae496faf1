"""What growing volumes would do, from claims as they are and sizes as the settings want them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from typer.testing import CliRunner

from ops.__main__ import app
from ops.core.errors import OpsError
from ops.drills.procedures.growth import larger
from ops.storage import command
from ops.storage.claims import Claim, Plan, Step, Volumes, Wanted, claim_of, of_part, plan, refusals, wanted_of
from ops.storage.command import Follow, _reason, grow
from tests.unit.ops.review_plans import deployment, stateful_set

KAFKA = Wanted(workload="kafka", template="data", size="2Gi", storage_class="fast")
NAMES = ("kafka", "kafka-controller", "prometheus-primary", "prometheus-secondary")
PARTS = [replace(KAFKA, workload=name) for name in NAMES]


def claim(name: str = "data-kafka-0", requested: str = "1Gi", capacity: str = "1Gi", **options: Any) -> Claim:
    return Claim(name=name, requested=requested, capacity=capacity, storage_class="fast", **options)


def planned(
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
    ("requested", "capacity", "step"),
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
def test_a_claim_grows_waits_or_is_refused(requested: str, capacity: str, step: Step) -> None:
    assert [line.step for line in planned(claim(requested=requested, capacity=capacity)).lines] == [step]


@pytest.mark.parametrize("expandable", [{"fast": False}, {}])
def test_a_class_that_lets_nothing_grow_or_is_gone_is_told(expandable: dict[str, bool]) -> None:
    [told] = refusals(planned(claim(), claim("data-kafka-1"), expandable=expandable))
    assert told.startswith("kafka: its volumes are of the storage class fast, which does not let them grow")


def test_claims_are_those_of_the_pods_in_their_order_and_no_other_parts() -> None:
    names = ("data-kafka-10", "data-kafka-2", "data-kafka-controller-0", "data-kafka-old", "data-search-0")
    assert [line.claim.name for line in planned(*map(claim, names)).lines] == ["data-kafka-2", "data-kafka-10"]


def test_a_template_that_is_behind_is_something_to_do_also_when_volumes_are_as_wanted() -> None:
    grown = claim(requested="2Gi", capacity="2Gi")
    assert (planned(grown).templates, planned(grown).to_do) == (["kafka"], True)
    assert (planned(grown, template="2Gi").templates, planned(grown, template="2Gi").to_do) == ([], False)


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
    [line] = planned(claim(requested="2Gi", conditions=conditions)).lines
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
    assert claim_of(item) == claim(requested="2Gi", conditions={"Resizing": "on it"})


@pytest.mark.parametrize(("size", "next_size"), [("2Gi", "3Gi"), ("1536Mi", "3Gi"), ("9Ti", "9217Gi")])
def test_the_drill_takes_a_whole_gib_more(size: str, next_size: str) -> None:
    assert larger(size) == next_size


OLD = {
    "metadata": {
        "name": "kafka",
        "namespace": "obs",
        "uid": "u1",
        "resourceVersion": "7",
        "managedFields": [
            {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:status": {}}},
            {"manager": "pulumi-kubernetes-1", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
        ],
    },
    "spec": {
        "template": {"spec": {}},
        "volumeClaimTemplates": [
            {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {}}
        ],
    },
}


class Apps:
    """An API that deletes the StatefulSet and takes it only after some tries, or never."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.applied, self.gone = refusals, "", False

    def read_namespaced_stateful_set(self, *_: object, **__: object) -> SimpleNamespace:
        if self.gone:
            raise ApiException(status=404, reason="Not Found")
        return SimpleNamespace(data=json.dumps(OLD))

    def delete_namespaced_stateful_set(self, *_: object, body: Any, **__: object) -> None:
        assert (body.propagation_policy, body.preconditions.uid) == ("Orphan", "u1")
        self.gone = True

    def patch_namespaced_stateful_set(self, *_: object, field_manager: str, **__: object) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise ApiException(status=500, reason="not now")
        self.applied = field_manager


def volumes(apps: Apps, *, rolled: bool = True) -> Volumes:
    kube: Any = SimpleNamespace(apps=apps, namespace="obs", _api=None, rolled=lambda workload: rolled)
    return Volumes(kube)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept, and no pauses."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ops.storage.claims._PAUSE_S", 0.0)
    return tmp_path


def test_a_stateful_set_is_made_again_in_the_name_of_who_applied_it_also_at_the_third_try(scratch: Path) -> None:
    apps = Apps(refusals=2)
    volumes(apps).adopt("kafka", {"data": KAFKA})
    assert (apps.applied, list(scratch.iterdir())) == ("pulumi-kubernetes-1", [])


def test_a_stateful_set_that_cannot_be_made_again_is_in_a_file_with_the_command_that_makes_it(scratch: Path) -> None:
    with pytest.raises(OpsError, match=r"kafka was not made again .*HTTP 500 not now") as caught:
        volumes(Apps(refusals=99)).adopt("kafka", {"data": KAFKA})
    [file] = scratch.iterdir()
    assert str(caught.value).endswith(f"kubectl apply --server-side --field-manager=pulumi-kubernetes-1 -f {file}")
    [kept] = json.loads(file.read_text())["spec"]["volumeClaimTemplates"]
    assert kept == {
        "metadata": {"name": "data"},
        "spec": {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"},
    }


def test_a_stateful_set_that_is_being_rolled_is_left_alone(scratch: Path) -> None:
    apps = Apps(refusals=0)
    with pytest.raises(OpsError, match="kafka is being rolled, or a pod of it is not ready"):
        volumes(apps, rolled=False).adopt("kafka", {"data": KAFKA})
    assert not apps.gone


class Adopting:
    """Volumes of a StatefulSet that is made again, and whose pods are not ready after that."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def adopt(self, *_: object) -> None:
        raise self._error


def grown_until(error: BaseException, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow volumes that have their size: only the StatefulSet is left."""
    monkeypatch.setattr(command, "Volumes", lambda kube: Adopting(error))
    monkeypatch.setattr(command, "look", lambda *_: planned(claim(requested="2Gi", capacity="2Gi")))
    kube: Any = SimpleNamespace(rolled=lambda workload: True)
    grow(kube, [KAFKA], follow)


@pytest.mark.parametrize("error", [OpsError("waited 180 s for kafka"), KeyboardInterrupt()])
def test_a_state_follows_a_stateful_set_whose_pods_nobody_has_waited_for(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []
    with pytest.raises(type(error)) as caught:
        grown_until(error, followed.extend, monkeypatch)
    assert (caught.value, followed) == (error, ["kafka"])


def test_how_a_stateful_set_is_made_again_is_told_also_if_the_state_cannot_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Sequence[str]) -> None:
        raise OpsError("run `pulumi refresh`")

    with pytest.raises(OpsError, match=r"^kubectl apply -f kafka\.json; run `pulumi refresh`$"):
        grown_until(OpsError("kubectl apply -f kafka.json"), refuse, monkeypatch)


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
    monkeypatch.setattr(command, "look", lambda volumes, wanted: planned(claim(), wanted=wanted))
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
