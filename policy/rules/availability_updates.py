"""What an update may take away: pods all at once, and volumes."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Options, Resource, Rule
from policy.rules._kubernetes import Want, at, number, state, wanted
from policy.rules.availability import replicas

_RETENTION = "spec.persistentVolumeClaimRetentionPolicy"


def _volumes(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes or not any(resource.node.at("spec.volumeClaimTemplates").elements()):
        return
    wants = (
        Want(f"{_RETENTION}.{on}", lambda policy: policy == "Retain", 'set it to "Retain"')
        for on in ("whenDeleted", "whenScaled")
    )
    yield from wanted(resource, resource.node, wants)


def _stateful(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    strategy = resource.node.at("spec.updateStrategy")
    kind = strategy["type"]
    if kind.value not in (None, "RollingUpdate"):
        yield at(resource, kind, f"the update strategy {state(kind.raw)}", 'set it to "RollingUpdate"')
    most = strategy["rollingUpdate"]["maxUnavailable"]
    if most.exists and number(most.value) != 1:
        yield at(resource, most, f"maxUnavailable {state(most.raw)}", "set it to 1")
    partition = strategy["rollingUpdate"]["partition"]
    if partition.value:
        yield at(
            resource,
            partition,
            f"partition {state(partition.raw)}, so that some pods keep the old settings",
            "remove it",
        )


def _deployment(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    strategy = resource.node.at("spec.strategy")
    kind = strategy["type"]
    if kind.value == "Recreate":
        if replicas(resource) > 1:
            yield at(
                resource,
                kind,
                f'the strategy is "Recreate", which stops all {replicas(resource):g} pods first',
                "use RollingUpdate with maxUnavailable 0",
            )
        return
    most = strategy["rollingUpdate"]["maxUnavailable"]
    if number(most.value) != 0 and most.value != "0%":
        yield at(resource, most, f"maxUnavailable {state(most.raw)}", "set it to 0")


RULES = (
    Rule(
        id="volumes-retained",
        promise="Volumes outlive the StatefulSet that made them.",
        why="Deleting, replacing or scaling down the workload would delete its data with it.",
        sources=("K4", "D1"),
        kinds=frozenset({"StatefulSet"}),
        resource=_volumes,
    ),
    Rule(
        id="stateful-set-rolls",
        promise="A StatefulSet is updated pod by pod, and wholly.",
        why="Otherwise a change takes several replicas of the same data at once, or never reaches a pod.",
        sources=("K1", "M4"),
        kinds=frozenset({"StatefulSet"}),
        resource=_stateful,
    ),
    Rule(
        id="deployment-rolls",
        promise="A Deployment starts a new pod before it stops an old one.",
        why="Otherwise every change of it is a gap for those who call it.",
        sources=("O1", "M4"),
        kinds=frozenset({"Deployment"}),
        resource=_deployment,
    ),
)
"""Rules of this concern."""
