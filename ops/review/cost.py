"""What a change costs, by impact: data at risk, what is replaced, which pods restart in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from components.naming import size_of
from ops.review.difference import Change, Entry, Kind, ignored, replaced_by, restarts
from ops.review.explain_access import shorter_retention
from ops.review.model import WORKLOADS, Planned, StackPlan, at, duration, elements, listed, mounted, replicas, short


class Impact(StrEnum):
    """Impact of a consequence; the comment has a heading for each, in this order."""

    LOSS = "Data at risk"
    REFUSED = "Refused"
    REPLACED = "Replaced: deleted and made anew"
    RESTARTS = "Pods that restart (steps one after the other, within a step at the same time)"
    AMOUNT = "Pods and partitions that come or go"
    NOTE = "Good to know"


@dataclass(frozen=True)
class Cost:
    """One consequence, as a sentence without a final full stop."""

    impact: Impact
    text: str


TOPIC = "kafka:index/topic:Topic"
_MS = 1000


def topic_costs(changes: Sequence[Change]) -> Iterator[Cost]:
    """Consequences of changed partitions, copies and retention."""
    for change in changes:
        if change.kind is Kind.CHANGED and change.planned.resource.type == TOPIC:
            # Pulumi looks at the protection that the topic has in the state, so both count.
            kept = change.before is not None and change.before.protect and change.planned.protect
            for entry in change.entries:
                yield from _entry(change.planned.resource.object_name, entry, kept=kept)


def _entry(name: str, entry: Entry, *, kept: bool) -> Iterator[Cost]:
    was, now = _number(entry.before), _number(entry.after)
    if entry.path == ("partitions",):
        yield from _partitions(name, was, now, kept=kept)
    elif entry.path == ("replicationFactor",):
        yield from _copies(name, was, now)
    elif entry.path == ("config", "retention.ms") and now is not None and now >= 0 and not (was and 0 <= was < now):
        yield Cost(
            Impact.LOSS,
            f"topic {name}: records older than {duration(now / _MS)} are deleted soon after the update, for good",
        )


def _copies(name: str, was: float | None, now: float | None) -> Iterator[Cost]:
    if was is None or now is None:
        yield Cost(Impact.NOTE, f"topic {name}: its number of copies changes")
    elif now > was:
        yield Cost(
            Impact.NOTE,
            f"topic {name}: every record is copied over the network until there are {now:g} copies instead of {was:g}",
        )
    else:
        yield Cost(Impact.LOSS, f"topic {name}: {now:g} copies of every record instead of {was:g}; the others go")


def _partitions(name: str, was: float | None, now: float | None, *, kept: bool) -> Iterator[Cost]:
    if was is None or now is None:
        yield Cost(Impact.NOTE, f"topic {name}: its number of partitions changes")
    elif now > was:
        yield Cost(
            Impact.AMOUNT,
            f"topic {name}: {now - was:g} more partitions. Records of one key written before and after may lie in two "
            "partitions, so their order is not kept until consumers have read what was written before (K6); partitions "
            "can never be taken away again",
        )
    elif kept:
        yield Cost(
            Impact.REFUSED,
            f"topic {name}: {now:g} partitions instead of {was:g} would replace it, with all its records lost; it is "
            f"protected, so Pulumi refuses: ask for at least {was:g}",
        )
    else:
        yield Cost(
            Impact.LOSS,
            f"topic {name} is deleted with all its records and made anew: Kafka cannot take partitions away "
            f"({was:g} to {now:g})",
        )


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


_PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105  (a type token)


def cost(changes: Sequence[Change], before: StackPlan, after: StackPlan) -> list[Cost]:
    """Every consequence for a stack, the dearest first."""
    if not before.planned:
        return [
            Cost(Impact.NOTE, f"a new stack: {len(after.resources)} resources are made, nothing that runs is touched")
        ]
    if not after.planned:
        return [
            Cost(
                Impact.NOTE,
                f"the stack file is gone: its {len(before.resources)} resources keep running, and nobody looks after "
                "them; destroy the stack first",
            )
        ]
    replaced = {change.planned.urn: reasons for change in changes if (reasons := replaced_by(change, after.planned))}
    costs: list[Cost] = [
        *_removed(changes, after),
        *_replacements(changes, replaced),
        *(Cost(Impact.RESTARTS, text) for text in restarts(changes, after.planned, frozenset(replaced))),
        *_sizes(changes),
        *_amounts(changes),
        *topic_costs(changes),
        *_unread_files(changes, after),
        *_sample_retention(changes),
    ]
    order = list(Impact)
    return sorted(dict.fromkeys(costs), key=lambda cost: order.index(cost.impact))


def _removed(changes: Sequence[Change], after: StackPlan) -> Iterator[Cost]:
    """What is deleted, and what goes with it."""
    labels = {(planned.resource.type, planned.resource.label) for planned in after.planned.values()}
    for change in changes:
        if change.kind is not Kind.REMOVED or change.before is None or not change.before.custom:
            continue
        resource = change.before.resource
        if change.before.protect:
            yield Cost(
                Impact.REFUSED, f"{short(resource)} is protected: Pulumi refuses to delete it until it is unprotected"
            )
        if (resource.type, resource.label) in labels and resource.kubernetes:
            yield Cost(
                Impact.REPLACED,
                f"{short(resource)} has another place or name in the program: Pulumi would make it a second time "
                "before it deletes the first, which fails; give it an alias",
            )
        elif resource.type == TOPIC:
            yield Cost(Impact.LOSS, f"topic {resource.object_name} is deleted with all its records")
        elif resource.kind == "Namespace":
            yield Cost(Impact.LOSS, f"{short(resource)} is deleted with everything in it, volumes included")
        elif resource.kind == "PersistentVolumeClaim":
            yield Cost(
                Impact.LOSS, f"{short(resource)} is deleted with its data (unless its StorageClass retains volumes)"
            )
        elif resource.kind in WORKLOADS:
            count = replicas(resource)
            yield Cost(
                Impact.AMOUNT, f"{short(resource)} is deleted: {_pods(count)} fewer{_volumes_after(change.before)}"
            )


def _replacements(changes: Sequence[Change], replaced: Mapping[str, list[str]]) -> Iterator[Cost]:
    passwords: list[str] = []
    for change in changes:
        properties = replaced.get(change.planned.urn)
        if not properties or change.before is None:
            continue
        resource = change.before.resource
        why = f"{listed(properties)} cannot change in place"
        if resource.type == _PASSWORD:
            passwords.append(resource.name)
        elif resource.type == TOPIC:
            yield Cost(Impact.LOSS, f"topic {resource.object_name} is deleted and made anew, empty: {why}")
        elif resource.type.startswith("pulumi:providers:"):
            yield Cost(
                Impact.LOSS, f"everything in this stack is made anew elsewhere: {listed(properties)} of the provider"
            )
        elif resource.kind == "Namespace":
            yield Cost(Impact.LOSS, f"{short(resource)} is deleted with everything in it: {why}")
        elif resource.kind == "PersistentVolumeClaim":
            yield Cost(Impact.LOSS, f"volume {resource.object_name} is replaced by an empty one: {why}")
        elif resource.kind in WORKLOADS:
            count = replicas(resource)
            yield Cost(Impact.REPLACED, f"{short(resource)}: all {_pods(count)} stop at once and start again: {why}")
            yield from _claims(change)
        elif resource.kubernetes:
            also = (
                ", and with it every workload that mounts it, all pods at once (ADR 0005)"
                if resource.kind in ("ConfigMap", "Secret") and properties != ["type"]
                else ""
            )
            yield Cost(Impact.REPLACED, f"{short(resource)}{also}: {why}")
        # A permission is always replaced, by Kafka's nature; in between its user is refused for a moment.
    if passwords:
        yield Cost(Impact.REPLACED, f"{_passwords(passwords)} made anew: whoever keeps the old one outside is refused")


_CLAIMS, _SIZE = ("spec", "volumeClaimTemplates"), ("resources", "requests", "storage")


def _sizes(changes: Sequence[Change]) -> Iterator[Cost]:
    """Sizes and classes of volumes, which Pulumi leaves as they are."""
    for change in changes:
        for entry in change.entries if change.after is not None else ():
            if entry.path[:2] != _CLAIMS or change.after is None or not ignored(change.after, entry):
                continue
            resource = change.planned.resource
            if entry.path[-3:] != _SIZE:
                yield Cost(
                    Impact.NOTE,
                    f"{short(resource)}: volumes that exist keep their storage class; new ones have the new one after "
                    f"the next `ops storage grow --part {resource.object_name}` that changes their size",
                )
            elif size_of(str(entry.after)) < size_of(str(entry.before)):
                yield Cost(
                    Impact.REFUSED,
                    f"{short(resource)}: volumes of {entry.after} instead of {entry.before}: volumes never shrink, and "
                    f"thresholds would be those of the smaller size; set at least {entry.before}",
                )
            else:
                yield Cost(
                    Impact.NOTE,
                    f"{short(resource)}: the update leaves its volumes as they are; `ops storage grow --part "
                    f"{resource.object_name}` makes them {entry.after} instead of {entry.before}, and restarts nothing",
                )


def _claims(change: Change) -> Iterator[Cost]:
    """What a replaced StatefulSet means for its volumes."""
    assert change.before is not None
    assert change.after is not None
    old, new = (
        {str(at(claim, "metadata", "name")): at(claim, "spec") for claim in _claim_templates(planned)}
        for planned in (change.before, change.after)
    )
    resource = change.after.resource
    count = replicas(change.before.resource) or 1
    if at(change.before.resource.props, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted") == "Delete":
        yield Cost(Impact.LOSS, f"{short(resource)}: its volumes are deleted with it (whenDeleted: Delete)")
    for name in old:
        volumes = _volume_names(name, resource.object_name, count)
        if name not in new or change.before.resource.label != resource.label:
            yield Cost(
                Impact.LOSS,
                f"{short(resource)}: pods start on new, empty volumes; {volumes} stay behind unused"
                + (" - all replicas at once, so nobody is left to copy from" if count > 1 else ""),
            )
        elif old[name] != new[name]:
            yield Cost(
                Impact.NOTE,
                f"{short(resource)}: volumes that exist ({volumes}) keep their size and class; only new ones follow "
                "the changed claim",
            )


def _claim_templates(planned: Planned) -> list[object]:
    return elements(at(planned.resource.props, "spec", "volumeClaimTemplates"))


def _volume_names(claim: str, workload: str, count: int) -> str:
    return listed(f"{claim}-{workload}-{index}" for index in range(count))


def _volumes_after(planned: Planned) -> str:
    claims = _claim_templates(planned)
    if not claims:
        return ""
    deleted = at(planned.resource.props, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted") == "Delete"
    return "; its volumes are deleted with it" if deleted else "; its volumes stay, unused"


def _amounts(changes: Sequence[Change]) -> Iterator[Cost]:
    """More or fewer pods."""
    for change in changes:
        resource = change.planned.resource
        if resource.kind not in WORKLOADS:
            continue
        if change.kind is Kind.ADDED:
            yield Cost(Impact.AMOUNT, f"new {short(resource)}: {_pods(replicas(resource))}")
        elif change.kind is Kind.CHANGED and change.touches("spec", "replicas"):
            assert change.before is not None
            if "spec.replicas" in change.planned.ignore_changes:
                yield Cost(
                    Impact.NOTE, f"{short(resource)}: its autoscaler owns the number of pods; the change is ignored"
                )
                continue
            was, now = replicas(change.before.resource), replicas(resource)
            tail = (
                "; volumes of pods that go stay" if (now or 0) < (was or 0) and _claim_templates(change.planned) else ""
            )
            yield Cost(Impact.AMOUNT, f"{short(resource)}: {_pods(now)} instead of {was}{tail}")


def _unread_files(changes: Sequence[Change], after: StackPlan) -> Iterator[Cost]:
    """Changed files whose pods do not restart: they are seen when the program reads them again, if it does."""
    rolled = {
        change.planned.urn
        for change in changes
        if change.planned.resource.kind in WORKLOADS
        and (change.kind is not Kind.CHANGED or change.touches("spec", "template"))
    }
    for change in changes:
        resource = change.planned.resource
        if change.kind is not Kind.CHANGED or resource.kind not in ("ConfigMap", "Secret"):
            continue
        if not (change.touches("data") or change.touches("stringData")):
            continue
        for planned in after.planned.values():
            still = planned.resource.kind in WORKLOADS and planned.urn not in rolled
            if still and (resource.kind, resource.object_name) in mounted(planned.resource):
                yield Cost(
                    Impact.NOTE,
                    f"{short(planned.resource)} does not restart for the changed {short(resource)}: it goes on with "
                    "the "
                    "old files unless its program reads them again by itself",
                )


def _sample_retention(changes: Sequence[Change]) -> Iterator[Cost]:
    for change in changes:
        if change.kind is Kind.CHANGED and change.before is not None and change.planned.resource.kind in WORKLOADS:
            for text in shorter_retention(change.before.resource, change.planned.resource):
                yield Cost(
                    Impact.LOSS, f"{short(change.planned.resource)}: samples beyond {text} are deleted, for good"
                )


def _pods(count: int | None) -> str:
    return "an unknown number of pods" if count is None else "1 pod" if count == 1 else f"{count} pods"


def _passwords(names: Sequence[str]) -> str:
    return f"password {names[0]} is" if len(names) == 1 else f"{len(names)} passwords ({listed(names)}) are"
