"""Which pods restart, how, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ops.review.difference import Change, Entry, Kind
from ops.review.model import Planned
from ops.review.phrasing import listed
from ops.review.pods import WORKLOADS, at, replicas, short

_TEMPLATE = ("spec", "template")
_REASONS = (
    ("checksum", "files"),
    ("image", "image"),
    ("resources", "resources"),
    ("command", "command line"),
    ("args", "command line"),
    ("env", "environment"),
    ("Probe", "probes"),
    ("securityContext", "security"),
    ("volume", "volumes"),
    ("labels", "labels"),
)


def restarts(changes: Sequence[Change], planned: Mapping[str, Planned], replaced: frozenset[str]) -> Iterator[str]:
    """One sentence per workload whose pods restart, in the order of the update.

    Args:
        changes: All changes of the stack.
        planned: Everything after the change.
        replaced: URNs of what is replaced as a whole, and is told elsewhere.
    """
    rolled = {
        change.planned.urn: change
        for change in changes
        if change.kind is Kind.CHANGED
        and change.planned.resource.kind in WORKLOADS
        and change.planned.urn not in replaced
        and change.touches(*_TEMPLATE)
    }
    steps = _steps(rolled, planned)
    for urn in sorted(rolled, key=lambda workload: (steps[workload], workload)):
        change = rolled[urn]
        yield f"step {steps[urn]}: {short(change.planned.resource)}: {_way(change.planned)} ({_reasons(change)})"


def _steps(rolled: Mapping[str, Change], planned: Mapping[str, Planned]) -> dict[str, int]:
    """Step of each workload: one later than the last of those that it depends on."""
    steps: dict[str, int] = {}

    def step(urn: str) -> int:
        if urn not in steps:
            earlier = [other for other in _needs(urn, planned) if other in rolled and other != urn]
            steps[urn] = 1 + max((step(other) for other in earlier), default=0)
        return steps[urn]

    for urn in rolled:
        step(urn)
    return steps


def _needs(urn: str, planned: Mapping[str, Planned]) -> set[str]:
    """Everything that a resource depends on, however indirectly."""
    seen: set[str] = set()
    pending = [urn]
    while pending:
        current = planned.get(pending.pop())
        for other in (*current.dependencies, current.provider) if current else ():
            if other and other not in seen:
                seen.add(other)
                pending.append(other)
    return seen - {urn}


def _way(planned: Planned) -> str:
    """How the pods are replaced."""
    resource = planned.resource
    count = replicas(resource)
    if "spec.replicas" in planned.ignore_changes:
        count = None
    pods = "pods" if count is None else "its pod" if count == 1 else f"{count} pods"
    if resource.kind == "StatefulSet":
        return _one_by_one(planned, pods, count)
    strategy = at(resource.props, "spec", "strategy") or {}
    if at(strategy, "type") == "Recreate":
        return f"{pods} {'stops' if count == 1 else 'stop'} before the new one starts: away meanwhile"
    missing = at(strategy, "rollingUpdate", "maxUnavailable")
    if missing in (0, "0", "0%"):
        return "its pod goes after the new one is ready" if count == 1 else f"{pods} go, each after a new one is ready"
    return f"{pods} {'is' if count == 1 else 'are'} replaced, at most {missing or '25%'} of them away at a time"


def _one_by_one(planned: Planned, pods: str, count: int | None) -> str:
    resource = planned.resource
    strategy = at(resource.props, "spec", "updateStrategy") or {}
    if at(strategy, "type") == "OnDelete":
        return f"{pods} {'keeps' if count == 1 else 'keep'} running as before until deleted by hand (OnDelete)"
    if count == 1:
        return "its pod restarts: away meanwhile"
    first = at(strategy, "rollingUpdate", "partition") or 0
    if count is None:
        return "its pods restart one by one, the last one first"
    names = [f"{resource.object_name}-{index}" for index in range(count - 1, int(first) - 1, -1)]
    rest = f"; {first} stay as they are (partition)" if first else ""
    return f"{len(names)} pods restart one by one, each after the one before is ready: {listed(names)}{rest}"


def _reasons(change: Change) -> str:
    """What in the pod template differs, in a few words."""
    reasons = [_reason(entry) for entry in change.entries if entry.path[:2] == _TEMPLATE]
    return listed(dict.fromkeys(reasons))


def _reason(entry: Entry) -> str:
    inner = ".".join(str(part) for part in entry.path[2:])
    return next((words for mark, words in _REASONS if mark in inner), inner.rpartition(".")[2])
