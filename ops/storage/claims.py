"""Volumes as they are and as the stack's settings want them, and what growing them would do; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ops.core.errors import OpsError
from ops.preflight.demand import quantity
from policy.model import Resource


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Equal volumes, one for each pod of a StatefulSet, as the settings want them.

    Attributes:
        workload: Name of the StatefulSet.
        template: Name of the claim in it.
        size: As a quantity of Kubernetes.
        storage_class: Of new volumes.
    """

    workload: str
    template: str
    size: str
    storage_class: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim as the cluster has it.

    Attributes:
        name: Its name.
        requested: Size that it asks for.
        capacity: Size that its volume has; empty until it has one.
        storage_class: Of its volume.
        conditions: Type -> message of what is under way or went wrong.
    """

    name: str
    requested: str
    capacity: str
    storage_class: str
    conditions: Mapping[str, str] = field(default_factory=dict)


class Step(StrEnum):
    """What growing does with a claim."""

    NOTHING = "as wanted"
    WAIT = "asks for it, has not got it yet"
    GROW = "grows"
    SMALLER = "would shrink"
    FIXED = "its storage class does not let it grow"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A claim beside what is wanted, and what growing does with it."""

    wanted: Wanted
    claim: Claim
    step: Step


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What growing does.

    Attributes:
        lines: A line for each claim.
        templates: StatefulSets whose claims for new pods are to follow.
    """

    lines: Sequence[Line]
    templates: Sequence[str]

    @property
    def to_do(self) -> bool:
        """Whether anything has to be changed or waited for."""
        return bool(self.templates) or any(line.step is not Step.NOTHING for line in self.lines)

    def of(self, workload: str) -> list[Line]:
        """The lines of one StatefulSet."""
        return [line for line in self.lines if line.wanted.workload == workload]


def wanted_of(resources: Iterable[Resource]) -> list[Wanted]:
    """What the rendered StatefulSets want."""
    return [
        Wanted(
            workload=resource.object_name,
            template=str(claim["metadata"]["name"]),
            size=str(claim["spec"]["resources"]["requests"]["storage"]),
            storage_class=str(claim["spec"]["storageClassName"]),
        )
        for resource in resources
        if resource.kubernetes and resource.kind == "StatefulSet"
        for claim in resource.props["spec"].get("volumeClaimTemplates") or []
    ]


def of_part(wanted: Sequence[Wanted], part: str) -> list[Wanted]:
    """Those of a part: a StatefulSet by its name, or all whose names begin with it; empty: everything.

    Raises:
        OpsError: There is none.
    """
    if not part:
        return list(wanted)
    chosen = [one for one in wanted if one.workload == part]
    chosen = chosen or [one for one in wanted if one.workload.startswith(f"{part}-")]
    if not chosen:
        names = ", ".join(dict.fromkeys(one.workload for one in wanted))
        raise OpsError(f"--part is {part!r}: allowed is one of {names}, or the beginning of several")
    return chosen


def claim_of(item: Mapping[str, Any]) -> Claim:
    """Reduce a claim as the API server has it."""
    spec, status = item["spec"], item.get("status") or {}
    return Claim(
        name=item["metadata"]["name"],
        requested=str(spec["resources"]["requests"]["storage"]),
        capacity=str((status.get("capacity") or {}).get("storage") or ""),
        storage_class=str(spec.get("storageClassName") or ""),
        conditions={
            condition["type"]: str(condition.get("message") or condition["type"])
            for condition in status.get("conditions") or []
            if condition.get("status") == "True"
        },
    )


def plan(
    wanted: Sequence[Wanted],
    claims: Mapping[str, Claim],
    templates: Mapping[str, Mapping[str, str]],
    expandable: Mapping[str, bool],
) -> Plan:
    """Compare.

    Args:
        wanted: What the settings want.
        claims: Name -> claim.
        templates: StatefulSet that is there -> claim template -> size that new pods get.
        expandable: StorageClass that is there -> whether it lets volumes grow.
    """
    lines = [
        Line(wanted=one, claim=claim, step=_step(one, claim, expandable))
        for one in wanted
        for claim in _claims(one, claims)
    ]
    behind = [
        one.workload
        for one in wanted
        for size in [templates.get(one.workload, {}).get(one.template)]
        if size is not None and quantity(size) != quantity(one.size)
    ]
    return Plan(lines=lines, templates=list(dict.fromkeys(behind)))


def _claims(wanted: Wanted, claims: Mapping[str, Claim]) -> list[Claim]:
    """Claims of the pods of a StatefulSet, in the order of their numbers."""
    prefix = f"{wanted.template}-{wanted.workload}-"
    numbers = [name.removeprefix(prefix) for name in claims if name.startswith(prefix)]
    return [claims[f"{prefix}{number}"] for number in sorted(filter(str.isdecimal, numbers), key=int)]


def _step(wanted: Wanted, claim: Claim, expandable: Mapping[str, bool]) -> Step:
    size, requested, capacity = quantity(wanted.size), quantity(claim.requested), quantity(claim.capacity or None)
    if size < requested:
        return Step.SMALLER
    if size > requested:
        # A volume may have come out larger than its claim; a claim that asks for no more than that needs nothing.
        return Step.GROW if expandable.get(claim.storage_class) else Step.FIXED
    return Step.NOTHING if capacity >= size else Step.WAIT


def refusals(plan: Plan) -> list[str]:
    """Why nothing may be changed, one line for each StatefulSet."""
    smaller: dict[str, str] = {}
    for line in plan.lines:
        wanted, claim = line.wanted, line.claim
        if line.step is Step.SMALLER:
            smaller[wanted.workload] = (
                f"{wanted.workload}: the settings want {wanted.size}, its volumes have {claim.requested}: volumes only "
                f"grow, set at least {claim.requested}"
            )
        elif line.step is Step.FIXED:
            smaller[wanted.workload] = (
                f"{wanted.workload}: its volumes are of the storage class {claim.storage_class or '(none)'}, which "
                "does not let them grow: set allowVolumeExpansion in the class if its driver can, or set the size "
                f"back to {claim.requested}"
            )
    return list(smaller.values())
