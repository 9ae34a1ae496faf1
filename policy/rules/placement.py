"""Where pods run and how urgent they are: nowhere special, but for what the stack file says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS, at, key_of, shown, template

_FIX: Final = "remove it, or say it in the stack file: scheduling"
_AGREED: Final = {"nodeSelector": "node_selectors", "priorityClassName": "priority_classes"}
"""Setting of a pod -> the option that has its values."""


def _placed(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    for key, option in _AGREED.items():
        if pod[key].exists and pod[key].value not in options[option]:
            yield at(resource, pod[key], f"{key} is {shown(pod[key].raw)}, which the stack file does not say", _FIX)
    for node in pod["tolerations"].elements():
        if node.value not in options["tolerations"]:
            problem = f"{key_of(node)} is {shown(node.raw)}, which the stack file does not say"
            yield at(resource, node, problem, _FIX)


def _listed(kind: str, meaning: str) -> Option:
    return Option(default=[], schema={"type": "array", "items": {"type": kind}}, meaning=meaning)


RULES: tuple[Rule, ...] = (
    Rule(
        id="pod-placement-said",
        promise="Pods are bound to nodes, stand taints and have a priority as the stack file says, and not otherwise.",
        why="Pods that are bound to one node or pushed aside first fail together; those that stand every taint stay "
        "on nodes that are gone.",
        sources=("K1", "O1"),
        options={
            "node_selectors": _listed("object", "sets of labels of nodes that pods may ask for"),
            "priority_classes": _listed("string", "priority classes that pods may have"),
            "tolerations": _listed("object", "taints that pods may stand, as in a pod's specification"),
        },
        kinds=WORKLOADS,
        resource=_placed,
    ),
)
"""Rules of this concern."""
