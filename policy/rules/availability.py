"""What keeps running when a pod, a node or a zone goes: replicas, spread, budgets, autoscalers, updates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from policy.documents import Format, documents
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._kubernetes import (
    RUNNING,
    Want,
    at,
    number,
    of_kind,
    selects,
    shown,
    state,
    template,
    wanted,
    workloads,
)
from policy.rules._values import each_known, whole_number
from policy.rules.workload_life import sources

_COUNTED = frozenset({"Deployment", "StatefulSet", "ReplicaSet"})
_TOPOLOGIES = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")

SINGLETONS = (
    {
        "image": "prom/prometheus",
        "together": 2,
        "reason": "each store is a workload of its own with its own consumer; two of them hold the same data",
    },
    {
        "image": "obs/otelcol",
        "receiver": "kafkarecords",
        "exporter": "otlprecords",
        "together": 1,
        "reason": "one consumer per store keeps the order of a partition; its records wait in Kafka while it restarts",
    },
    {
        "image": "obs/kafka",
        "argument": "org.apache.kafka.connect.mirror.MirrorMaker",
        "together": 1,
        "reason": "its place is kept in Kafka; the other region keeps the records, and its absence is an alert",
    },
    {
        "image": "thanosio/thanos",
        "argument": "compact",
        "together": 1,
        "reason": "two on one bucket would destroy blocks; nothing waits for it, and its absence is an alert",
    },
    {
        "image": "thanosio/thanos",
        "argument": "rule",
        "together": 2,
        "reason": "each is a workload of its own with its own volume; two of them raise the same alerts",
    },
    {
        "image": "obs/services",
        "argument": "services.kafka_lag",
        "together": 1,
        "reason": "it only measures, and its absence is an alert",
    },
    {
        "image": "obs/services",
        "argument": "services.index_manager",
        "together": 1,
        "reason": "one of them changes indices at a time; the cluster serves without it, and its absence is an alert",
    },
    {
        "image": "obs/services",
        "argument": "services.service_graph",
        "together": 1,
        "reason": "both ends of an edge must meet in one process; its records wait in Kafka while it restarts",
    },
    {
        "image": "obs/services",
        "argument": "services.alert_events",
        "together": 1,
        "reason": "one producer keeps the order of an alert's events; senders come again while it restarts",
    },
    {
        "image": "obs/services",
        "argument": "services.audit",
        "together": 1,
        "reason": "one process holds the end of the chain; logs wait at the kubelets while it restarts",
    },
    {
        "image": "kube-state-metrics/kube-state-metrics",
        "together": 1,
        "reason": "it only tells what the API server knows, and its absence is an alert",
    },
    {
        "image": "obs/services",
        "argument": "services.volumes",
        "together": 1,
        "reason": "it only measures, and its absence is an alert",
    },
    {
        "image": "obs/backup",
        "argument": "services.failover_agent",
        "together": 1,
        "reason": "two would apply leases of different moments; what is silent stays so, and its absence is an alert",
    },
)
"""Workloads that may be one pod."""


def replicas(workload: Resource) -> float:
    """Pods that a workload asks for; 1 where it does not say."""
    node = workload.node.at("spec.replicas")
    return 1 if not node.exists else number(node.value) or 0


def _image_is(workload: Resource, repository: str) -> bool:
    containers = list(template(workload)["spec"]["containers"].elements())
    if not containers:
        return False
    name = re.split(r"@|:(?=[^/]*$)", containers[0]["image"].text(), maxsplit=1)[0]
    return name == repository or name.endswith(f"/{repository}")


def _pipes(workload: Resource, end: str, kind: str, resources: Sequence[Resource]) -> bool:
    """Whether a collector of the workload has a part of that type at that end (``receivers``) of a pipeline."""
    mounted = {(kind, node.text()) for kind, node in sources(template(workload)["spec"])}
    for resource in of_kind(resources, "ConfigMap", "Secret"):
        if (resource.kind, resource.object_name) not in mounted or resource.namespace != workload.namespace:
            continue
        for document in documents(resource, Format.COLLECTOR):
            pipelines = document.node["service"]["pipelines"].items()
            if any(used.split("/")[0] == kind for _, node in pipelines for used in node[end].texts()):
                return True
    return False


def _alike(workload: Resource, entry: Node, resources: Sequence[Resource]) -> bool:
    """Whether a workload is what an entry of the option ``singletons`` describes."""
    if not _image_is(workload, entry["image"].text()):
        return False
    argument = entry["argument"].text()
    if argument:
        first = template(workload)["spec"]["containers"][0]
        if argument not in (*first["command"].texts(), *first["args"].texts()):
            return False
    ends = (("receivers", entry["receiver"].text()), ("exporters", entry["exporter"].text()))
    return all(_pipes(workload, end, kind, resources) for end, kind in ends if kind)


def _replicas(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    least = options["least"]
    allowed = list(Node(options["singletons"]).elements())
    scaled = list(workloads(resources, _COUNTED))
    few = [resource for resource in scaled if replicas(resource) < least]
    yield from each_known(_few(resource, scaled, allowed, resources, least) for resource in few)


def _few(
    workload: Resource, scaled: Sequence[Resource], allowed: Sequence[Node], resources: Sequence[Resource], least: int
) -> Iterator[Finding]:
    """A workload with few pods: whether it may be so."""
    node = workload.node.at("spec.replicas")
    known = (budget for budget in allowed if _alike(workload, budget, resources))
    entry = next(known, None) if replicas(workload) else None
    if entry is None:
        yield at(workload, node, f"replicas {state(node.raw)}", f"run at least {least} pods")
    else:
        together = sum(replicas(resource) for resource in scaled if _alike(resource, entry, resources))
        if together < entry["together"].value:
            yield at(
                workload,
                node,
                f"there are {together:g} pods of {entry['image'].text()} in all",
                f"run at least {entry['together'].value}, in one workload or several",
            )


def _kafka_servers(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = template(resource)["spec"]
    servers = [
        node
        for node in pod["containers"].elements()
        if {"kafka.Kafka", "kafka-server-start.sh"}
        & {word.rsplit("/", 1)[-1] for word in (*node["command"].texts(), *node["args"].texts())}
    ]
    node = resource.node.at("spec.replicas")
    if servers and replicas(resource) < options["least"]:
        yield at(resource, node, f"replicas {state(node.raw)} for a Kafka server", f"run at least {options['least']}")


def _budget(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    budgets = of_kind(resources, "PodDisruptionBudget")
    for workload in workloads(resources, _COUNTED):
        mine = [
            budget
            for budget in budgets
            if budget.namespace == workload.namespace and selects(budget.node.at("spec.selector"), workload)
        ]
        if not mine:
            yield Finding(
                resource=workload,
                where="spec.template.metadata.labels",
                problem="no PodDisruptionBudget selects these pods",
                fix="make one with maxUnavailable 1 and the workload's selector",
            )
        elif all(_gone(resource, replicas(workload)) > options["most_gone"] for resource in mine):
            node = mine[0].node["spec"]
            disruption_limit = next((node[key] for key in ("maxUnavailable", "minAvailable") if node[key].exists), None)
            limit = (
                f"{disruption_limit.path.split('.')[-1]} {shown(disruption_limit.raw)}"
                if disruption_limit
                else "no limit"
            )
            yield at(
                mine[0],
                disruption_limit or node["maxUnavailable"],
                f"{limit} lets more than {options['most_gone']} of the pods of {workload.label} go at once",
                f"set maxUnavailable to {options['most_gone']}",
            )


def _gone(budget: Resource, count: float) -> float:
    """How many pods a budget lets go at once; a limit is taken as it is written where there are fewer pods."""
    spec = budget.node["spec"]
    if spec["maxUnavailable"].exists:
        value = spec["maxUnavailable"].value
        return max(_share(value, count), 2 if isinstance(value, str) and value.startswith("100") else 0)
    if spec["minAvailable"].exists:
        return count - _share(spec["minAvailable"].value, count)
    return max(count, 2)


def _share(value: object, count: float) -> float:
    """A number of pods, or a percentage of them (rounded up, as Kubernetes does)."""
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(count * float(value[:-1]) / 100)
    return float(str(value))


def _spread(resource: Resource, options: Options) -> Iterator[Finding]:
    spec = template(resource)
    if not spec.exists or resource.kind == "DaemonSet":
        return
    constraints = spec["spec"]["topologySpreadConstraints"]
    for topology in _TOPOLOGIES:
        mine = [
            node
            for node in constraints.elements()
            if node["topologyKey"].text() == topology and selects(node["labelSelector"], resource)
        ]
        if not mine:
            yield at(
                resource, constraints, f"no constraint spreads these pods over {topology}", f"add one for {topology}"
            )
        elif (number(mine[0]["maxSkew"].value) or 0) > options["most_skew"]:
            skew = mine[0]["maxSkew"]
            yield at(resource, skew, f"maxSkew {state(skew.raw)}", f"set it to {options['most_skew']}")


def _autoscaler(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    node = resource.node.at("spec.minReplicas")
    if (number(node.value) or 0) < options["least"]:
        yield at(resource, node, f"minReplicas {state(node.raw)}", f"set it to at least {options['least']}")


def _scale_down(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    down = resource.node.at("spec.behavior.scaleDown")
    window = down["stabilizationWindowSeconds"]
    if (number(window.value) or 0) < options["settled_s"]:
        yield at(
            resource,
            window,
            f"stabilizationWindowSeconds {state(window.raw)}",
            f"set it to at least {options['settled_s']}",
        )
    limits = list(down["policies"].elements())
    if down["selectPolicy"].value == "Disabled":
        return
    if not limits or any(
        limit["type"].value != "Pods" or (number(limit["value"].value) or 0) > options["at_once"] for limit in limits
    ):
        yield at(
            resource,
            down["policies"],
            f"more than {options['at_once']} of the pods may go at once",
            f"allow policies of type Pods with a value of at most {options['at_once']}, and no others",
        )


def _recommends(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    boost = Want("startupBoost", lambda value: value is None, "remove it: pods get it as they start, in every mode")
    off = Want("updatePolicy.updateMode", lambda value: value == "Off", 'set it to "Off"')
    yield from wanted(resource, spec, [off, boost])
    for policy in spec.at("resourcePolicy.containerPolicies").elements():
        yield from wanted(resource, policy, [boost])


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


RULES: tuple[Rule, ...] = (
    Rule(
        id="replicas-least",
        promise="Every workload has at least two pods, or is on the list of those that need only one.",
        why="With one pod every restart of it or of its node is an outage.",
        sources=("O1", "P1", "G1", "A1"),
        options={
            "least": whole_number(2, "least pods of a workload"),
            "singletons": Option(
                default=[dict(singleton) for singleton in SINGLETONS],
                schema={"type": "array", "items": {"type": "object", "required": ["image", "together"]}},
                meaning="what may be one pod, by image, argument, receiver and exporter, and how many together",
            ),
        },
        stack=_replicas,
    ),
    Rule(
        id="kafka-servers-least",
        promise="There are at least three brokers, and three controllers.",
        why="With fewer, one lost server stops acknowledged writes or the quorum.",
        sources=("K1",),
        options={"least": whole_number(3, "least servers of a workload")},
        kinds=RUNNING,
        resource=_kafka_servers,
    ),
    Rule(
        id="disruption-budget",
        promise="Every workload has a PodDisruptionBudget that lets one pod go at a time.",
        why="A drained node, or an upgrade of the cluster, could take all pods of a server at once.",
        sources=("K1", "O1", "P1"),
        options={"most_gone": whole_number(1, "pods that may go at once")},
        stack=_budget,
    ),
    Rule(
        id="pod-spread",
        promise="The pods of a workload are spread over hosts and zones.",
        why="Pods on one host or in one zone fail together.",
        sources=("K1", "O1"),
        options={"most_skew": whole_number(1, "highest maxSkew")},
        kinds=RUNNING,
        resource=_spread,
    ),
    Rule(
        id="autoscaler-least",
        promise="No autoscaler goes below two pods.",
        why="In a quiet hour one pod would be left, and its restart would be an outage.",
        sources=("S1", "O1"),
        options={"least": whole_number(2, "least pods that an autoscaler may leave")},
        kinds=frozenset({"HorizontalPodAutoscaler"}),
        resource=_autoscaler,
    ),
    Rule(
        id="autoscaler-scale-down",
        promise="An autoscaler takes one pod away at a time, and only after five quiet minutes.",
        why="What a pod works on must reach Kafka before it goes, and its clients must find another one; after a short "
        "pause of the load the pods are needed again.",
        sources=("S1", "O1"),
        options={
            "settled_s": whole_number(300, "seconds for which the use must have been low"),
            "at_once": whole_number(1, "pods that may go at once"),
        },
        kinds=frozenset({"HorizontalPodAutoscaler"}),
        resource=_scale_down,
    ),
    Rule(
        id="vertical-autoscaler-recommends",
        promise="A vertical autoscaler only recommends sizes; it changes no pod.",
        why="It would restart brokers and stores whenever their use changes, and undo sizes that were reviewed.",
        sources=("S1", "O1"),
        kinds=frozenset({"VerticalPodAutoscaler"}),
        resource=_recommends,
    ),
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
