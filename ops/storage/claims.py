"""Volumes as they are and as the stack's settings want them; claims read, grown, and adopted without a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ops.core.errors import OpsError
from ops.core.kube import Kube, call_errors, wait_until
from ops.core.terminal import say
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


_TIMEOUT_S: Final = 15
_ABSENT: Final = 404
_APPLY: Final = "application/apply-patch+yaml"
_OWN_MANAGER: Final = "obs-ops"
_GONE_S: Final = 120.0
_ADOPTED_S: Final = 180.0
_TRIES: Final = 5
_PAUSE_S: Final = 2.0


class Volumes:
    """What growing volumes needs of one namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._storage: Any = client.StorageV1Api(kube._api)

    def claims(self) -> dict[str, Claim]:
        """Name -> claim."""
        with call_errors("cannot list the volume claims"):
            answer = self._kube.core.list_namespaced_persistent_volume_claim(
                self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
            )
        return {item["metadata"]["name"]: claim_of(item) for item in json.loads(answer.data)["items"]}

    def templates(self) -> dict[str, dict[str, str]]:
        """StatefulSet -> claim template -> size."""
        with call_errors("cannot list the StatefulSets"):
            answer = self._kube.apps.list_namespaced_stateful_set(
                self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
            )
        return {
            item["metadata"]["name"]: {
                claim["metadata"]["name"]: str(claim["spec"]["resources"]["requests"]["storage"])
                for claim in item["spec"].get("volumeClaimTemplates") or []
            }
            for item in json.loads(answer.data)["items"]
        }

    def expandable(self) -> dict[str, bool]:
        """StorageClass -> whether it lets volumes grow."""
        with call_errors("cannot list the storage classes"):
            classes = self._storage.list_storage_class(_request_timeout=_TIMEOUT_S).items
        return {item.metadata.name: bool(item.allow_volume_expansion) for item in classes}

    def ask(self, claim: str, size: str) -> None:
        """Let a claim ask for another size."""
        with call_errors(f"the claim {claim} is not let grow to {size}"):
            self._kube.core.patch_namespaced_persistent_volume_claim(
                claim,
                self._kube.namespace,
                {"spec": {"resources": {"requests": {"storage": size}}}},
                field_manager=_OWN_MANAGER,
                _request_timeout=_TIMEOUT_S,
            )

    def adopt(self, workload: str, wanted: Mapping[str, Wanted]) -> None:
        """Give a StatefulSet other claim templates: it is made again around its pods, which go on running.

        The field cannot change in place. The old one is deleted without its pods, the new one has the same pod
        template, so it takes them, and the revisions of the old one, for its own.

        Args:
            workload: Its name.
            wanted: Claim template -> what it has to say.

        Raises:
            OpsError: It is being rolled, its volumes go with it, or it cannot be made again; then the message names a
                file from which it can.
        """
        old = self._read(workload)
        if old is None:
            raise OpsError(f"there is no {workload}: `pulumi up --refresh --policy-pack policy` makes it again")
        spec = old["spec"]
        if (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get("whenDeleted") == "Delete":
            raise OpsError(f"{workload} deletes its volumes with itself (whenDeleted: Delete): nothing was done")
        if not self._kube.rolled(workload):
            raise OpsError(f"{workload} is being rolled, or a pod of it is not ready: wait, then repeat")
        new = _again(old, wanted)
        with NamedTemporaryFile("w", prefix=f"obs-{workload}-", suffix=".json", delete=False) as file:
            json.dump(new, file, indent=2)
        say(f"{workload} is made again around its pods; until then it is kept in {file.name}")
        manager = _manager(old)
        try:
            self._delete(old)
            self._apply(new, manager)
        except OpsError as error:
            raise OpsError(
                f"{workload} was not made again ({error}); if `kubectl get statefulset` lacks it, its pods run on with "
                f"nobody to replace them: kubectl apply --server-side --field-manager={manager} -f {file.name}"
            ) from None
        Path(file.name).unlink()
        wait_until(lambda: self._kube.rolled(workload), _ADOPTED_S, f"{workload} to have its pods again")

    def _read(self, workload: str) -> dict[str, Any] | None:
        """A StatefulSet as the API server has it, or None."""
        with call_errors(f"cannot read {workload}"):
            try:
                answer = self._kube.apps.read_namespaced_stateful_set(
                    workload, self._kube.namespace, _preload_content=False, _request_timeout=_TIMEOUT_S
                )
            except ApiException as error:
                if error.status == _ABSENT:
                    return None
                raise
        content: dict[str, Any] = json.loads(answer.data)
        return content

    def _delete(self, old: Mapping[str, Any]) -> None:
        metadata = old["metadata"]
        unchanged = client.V1Preconditions(uid=metadata["uid"], resource_version=metadata["resourceVersion"])
        options = client.V1DeleteOptions(propagation_policy="Orphan", preconditions=unchanged)
        with call_errors(f"cannot take {metadata['name']} away from its pods"):
            self._kube.apps.delete_namespaced_stateful_set(
                metadata["name"], self._kube.namespace, body=options, _request_timeout=_TIMEOUT_S
            )
        wait_until(
            lambda: self._read(metadata["name"]) is None,
            _GONE_S,
            f"{metadata['name']} to let go of its pods",
            pause=0.2,
        )

    def _apply(self, new: Mapping[str, Any], manager: str) -> None:
        name = new["metadata"]["name"]
        for attempt in range(1, _TRIES + 1):
            try:
                with call_errors(f"cannot make {name} again"):
                    self._kube.apps.patch_namespaced_stateful_set(
                        name,
                        self._kube.namespace,
                        new,
                        field_manager=manager,
                        force=True,
                        _content_type=_APPLY,
                        _request_timeout=_TIMEOUT_S,
                    )
            except OpsError as error:
                if attempt == _TRIES:
                    raise
                say(f"{error}: once more")
                time.sleep(_PAUSE_S)
            else:
                return


def _again(old: Mapping[str, Any], wanted: Mapping[str, Wanted]) -> dict[str, Any]:
    """The same StatefulSet with other claim templates."""
    metadata = {
        key: old["metadata"][key] for key in ("name", "namespace", "labels", "annotations") if key in old["metadata"]
    }
    templates = []
    for claim in old["spec"]["volumeClaimTemplates"]:
        content = {key: value for key, value in claim.items() if key != "status"}
        content["metadata"] = {key: value for key, value in claim["metadata"].items() if key != "creationTimestamp"}
        if one := wanted.get(claim["metadata"]["name"]):
            resources = {**claim["spec"]["resources"], "requests": {"storage": one.size}}
            content["spec"] = {**claim["spec"], "resources": resources, "storageClassName": one.storage_class}
        templates.append(content)
    spec = {**old["spec"], "volumeClaimTemplates": templates}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}


def _manager(old: Mapping[str, Any]) -> str:
    """Who applied it: whoever else made it again would own its fields, and the next update would be a conflict."""
    return next(
        (
            str(entry["manager"])
            for entry in old["metadata"].get("managedFields") or []
            if entry["operation"] == "Apply" and "f:template" in entry["fieldsV1"].get("f:spec", {})
        ),
        _OWN_MANAGER,
    )
