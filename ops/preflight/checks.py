"""The checks: one line each, with what to do where something is wrong."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import urllib3
from kubernetes.client.exceptions import ApiException

from components.grafana.sources import LogsPlugin
from components.k8s.autoscaler import API as RECOMMENDATIONS
from components.k8s.autoscaler import KIND as RECOMMENDER
from components.kafka.config import BROKERS
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.preflight import addresses, plugins
from ops.preflight.demand import FORBIDDEN, Balancer, Cluster, Demand, Need, Node
from ops.preflight.images import Reference, pull_secrets, reference
from ops.preflight.lines import Line, State, fail, ok, some, warn
from stacks.settings import Settings

MINIMUM: Final = (1, 34)
"""The oldest version of Kubernetes that the platform was run on."""
CERT_MANAGER: Final = "cert-manager"
_CERT_MANAGER: Final = ("cert-manager.io/v1", ("Certificate", "Issuer"))
_CERT_MANAGER_MINIMUM: Final = (1, 15)
_RELEASE: Final = ".".join(map(str, _CERT_MANAGER_MINIMUM))
_COMPONENT: Final = "app.kubernetes.io/component"
_NAME: Final = "app.kubernetes.io/name"
_VERSION: Final = "app.kubernetes.io/version"
_CERT_MANAGER_PARTS: Final = (
    f"/apis/apps/v1/deployments?labelSelector={quote(f'{_COMPONENT} in (controller,webhook)')}&limit=500"
)
_METRICS: Final = "metrics.k8s.io/v1beta1"
_VERBS: Final = ("get", "create", "patch", "delete")


def left_out(line: str) -> Line:
    """A promise that the settings leave out."""
    return warn("not promised", line, "right where nobody needs it, else name it in the stack file")


def logs_plugin(settings: Settings) -> Iterator[Line]:
    """Grafana's image reads Elasticsearch by itself. What reads OpenSearch has to be added, and is not seen here."""
    if settings.search.engine == "opensearch":
        yield warn(
            "Grafana's logs",
            f"{LogsPlugin.OPENSEARCH} reads them, which Grafana's own image does not have",
            "an image that has it: docs/install.md",
        )


def identity(cluster: Cluster, settings: Settings) -> Line:
    """The cluster is the one that the stack file names."""
    context, uid = settings.cluster.context, cluster.uid()
    if settings.cluster.uid not in (None, uid):
        return fail(
            "cluster",
            f"{context} leads to {uid}, the stack file names {settings.cluster.uid}",
            "select the other stack or kubeconfig, or, where this is the right cluster, `python -m ops config "
            "set-cluster --replace`",
        )
    return ok("cluster", f"{context} leads to {uid}")


def version(cluster: Cluster) -> Line:
    """Kubernetes is as new as what the platform was run on."""
    major, minor = cluster.version()
    if (major, minor) < MINIMUM:
        remedy = f"the platform was run on {MINIMUM[0]}.{MINIMUM[1]} and never on an older one: upgrade"
        return warn("version", f"Kubernetes {major}.{minor}", remedy)
    return ok("version", f"Kubernetes {major}.{minor}")


def cert_manager(cluster: Cluster) -> Iterator[Line]:
    """Its kinds are served, by a release that is new enough, whose webhook answers."""
    api_version, kinds = _CERT_MANAGER
    missing = sorted(set(kinds) - set(cluster.served(api_version)))
    if missing:
        yield fail(
            CERT_MANAGER,
            f"{', '.join(missing)} of {api_version} not served",
            "install cert-manager with its custom resource definitions",
        )
        return
    served = f"{', '.join(kinds)} of {api_version} served"
    try:
        listed = cluster.objects(_CERT_MANAGER_PARTS)
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        yield warn(CERT_MANAGER, f"{served}, may not list Deployments", f"its version has to be {_RELEASE} or newer")
        return
    parts = [part for part in listed if _is_cert_manager(part)]
    webhooks = [part for part in parts if part["metadata"]["labels"][_COMPONENT] == "webhook"]
    releases = [release for part in parts if part not in webhooks and (release := _release(part))]
    idle = [part["metadata"] for part in parts if not (part.get("status") or {}).get("availableReplicas")]
    if old := [release for release in releases if release < _CERT_MANAGER_MINIMUM]:
        yield fail(
            CERT_MANAGER,
            f"{min(old)[0]}.{min(old)[1]} is too old: it writes key and certificate into one file (CombinedPEM) only "
            "where a feature gate is on",
            f"upgrade it to {_RELEASE} or newer",
        )
    if idle:
        names = [f"{part['namespace']}/{part['name']}" for part in idle]
        yield fail(
            CERT_MANAGER,
            f"no pod of {', '.join(names)} is available: certificates are refused, or never issued",
            f"`kubectl -n {idle[0]['namespace']} describe deployment {idle[0]['name']}` says why",
        )
    if unseen := [what for what, those in (("version", releases), ("webhook", webhooks)) if not those]:
        remedy = f"make sure that it is {_RELEASE} or newer, and that its webhook answers"
        yield warn(CERT_MANAGER, f"{served}; no Deployment shows its {' and '.join(unseen)}", remedy)
    elif not old and not idle:
        yield ok(CERT_MANAGER, f"{served}, by {'.'.join(map(str, min(releases)))}")


def _images(deployment: Mapping[str, Any]) -> list[Reference]:
    return [reference(str(container["image"])) for container in deployment["spec"]["template"]["spec"]["containers"]]


def _is_cert_manager(deployment: Mapping[str, Any]) -> bool:
    """Whether a Deployment is of cert-manager itself, and not of an issuer or another add-on that is called like it."""
    labels, repositories = deployment["metadata"]["labels"], [image.repository for image in _images(deployment)]
    own = any(repository.endswith(f"cert-manager-{labels[_COMPONENT]}") for repository in repositories)
    named = labels.get(_NAME) in (CERT_MANAGER, "webhook")
    return own or (named and any(CERT_MANAGER in repository for repository in repositories))


def _release(deployment: Mapping[str, Any]) -> tuple[int, int] | None:
    """Major and minor version: of the image, which runs, or of the label where the image has a digest alone."""
    texts = [*(image.tag for image in _images(deployment)), deployment["metadata"]["labels"].get(_VERSION)]
    known = [match for text in texts if (match := re.match(r"v?(\d+)\.(\d+)", text or ""))]
    return (int(known[0][1]), int(known[0][2])) if known else None


def metrics_api(cluster: Cluster, demand: Demand) -> Line:
    """Autoscalers can read the use of pods."""
    if not demand.autoscaled:
        return ok("metrics API", "not needed: nothing is scaled by use")
    if not cluster.served(_METRICS):
        return fail("metrics API", f"{_METRICS} not served, autoscalers need it", "install metrics-server")
    return ok("metrics API", f"{_METRICS} served")


def vertical_autoscaler(cluster: Cluster, demand: Demand) -> Line:
    """The kind of the objects that sizes are recommended in is served."""
    if not demand.sized:
        return ok("vertical autoscaler", "not needed: no sizes are recommended")
    if RECOMMENDER not in cluster.served(RECOMMENDATIONS):
        return fail(
            "vertical autoscaler",
            f"{RECOMMENDER} of {RECOMMENDATIONS} not served",
            "install its resource definitions and its recommender (neither updater nor admission controller), or set "
            "settings.autoscaling.recommendations to false",
        )
    return ok("vertical autoscaler", f"{RECOMMENDER} of {RECOMMENDATIONS} served")


def priorities(cluster: Cluster, demand: Demand) -> Line:
    """PriorityClasses are there."""
    if not demand.priority_classes:
        return ok("priority classes", "none is asked for")
    there = set(cluster.names("/apis/scheduling.k8s.io/v1/priorityclasses"))
    if missing := sorted(demand.priority_classes - there):
        return fail(
            "priority classes",
            f"there is no {', '.join(missing)}",
            "make them, or take them out of settings.scheduling",
        )
    return ok("priority classes", f"{', '.join(sorted(demand.priority_classes))} there")


def nodes(cluster: Cluster, demand: Demand) -> Iterator[Line]:
    """Nodes take every pod, and all of them together."""
    ready, seen = cluster.nodes()
    homeless = [pods.name for pods in demand.pods if not any(_room(node, pods.spec, pods.need) for node in ready)]
    if homeless:
        yield fail(
            "largest pods",
            f"no node takes {some(homeless)}",
            "add nodes, or change node_selector and tolerations in settings.scheduling",
        )
    else:
        yield ok("largest pods", f"each of {len(demand.pods)} kinds of pods fits on one of {len(ready)} nodes")
    wanted = sum((pods.need * _count(pods.count, pods.spec, ready) for pods in demand.pods), Need())
    usable = [node for node in ready if any(node.takes(pods.spec) for pods in demand.pods if pods.count is not None)]
    free = sum((node.free for node in usable), Need())
    told = f"{wanted} asked for, {free} free on {len(usable)} nodes"
    if not seen:
        told += " (what runs there already could not be seen)"
    if wanted.fits(free):
        yield ok("room", told)
    elif cluster.exists(f"/api/v1/namespaces/{demand.namespace}"):
        yield warn("room", told, "what is asked for may run there already: look at `kubectl -n NAMESPACE get pods`")
    else:
        yield fail("room", told, "add nodes, or choose a smaller settings.profile")


def _room(node: Node, spec: Mapping[str, Any], need: Need) -> bool:
    return node.takes(spec) and need.fits(node.capacity)


def _count(count: int | None, spec: Mapping[str, Any], ready: Sequence[Node]) -> int:
    return sum(node.takes(spec) for node in ready) if count is None else count


def rights(cluster: Cluster, demand: Demand) -> Line:
    """The user may make, read, change and delete every kind that is rendered."""
    served: dict[str, dict[str, Any]] = {}
    wanted = [("get", "", "namespaces", "", "kube-system")]
    unknown = []
    for api_version, kind in sorted(demand.kinds):
        if api_version not in served:
            served[api_version] = dict(cluster.served(api_version))
        entry = served[api_version].get(kind)
        if entry is None:
            unknown.append(f"{kind} of {api_version}")
            continue
        # Of the whole cluster a role may allow these names alone; whoever creates has no name yet.
        names = [""] if entry.namespaced else demand.kinds[api_version, kind]
        namespace = demand.namespace if entry.namespaced else ""
        wanted += [
            (verb, entry.group, entry.resource, namespace, "" if verb == "create" else name)
            for verb in _VERBS
            for name in names
        ]
    refused: dict[str, list[str]] = {}
    for verb, group, resource, namespace, name in wanted:
        if not cluster.may(verb, group, resource, namespace, name):
            called = f"{resource}.{group}" if group else resource
            refused.setdefault(f"{called}{f' {name}' if name else ''}", []).append(verb)
    if refused:
        told = [f"{'/'.join(verbs)} {called}" for called, verbs in refused.items()]
        return fail("rights", f"may not {some(told)}", "roles for an administrator to apply: `python -m ops rights`")
    if unknown:
        return warn("rights", f"{some(unknown)} not served, so not asked about", "install what serves them")
    return ok("rights", f"{', '.join(_VERBS)} for {len(demand.kinds)} kinds")


_AWS: Final = "aws"
_CLOUDS: Final[Mapping[str, tuple[str, str, str]]] = {
    _AWS: (
        "aws-load-balancer-type",
        "classic ones, which hide clients' addresses,",
        "service.beta.kubernetes.io/aws-load-balancer-type: nlb, or load_balancer_class: service.k8s.aws/nlb",
    ),
    "gce": ("networking.gke.io/load-balancer-type", "public ones", 'networking.gke.io/load-balancer-type: "Internal"'),
    "azure": (
        "azure-load-balancer",
        "public ones",
        'service.beta.kubernetes.io/azure-load-balancer-internal: "true"',
    ),
}
"""Provider -> part of the annotation that has to be there, what is made without it, and what to set."""


def load_balancers(cluster: Cluster, demand: Demand) -> Line:
    """What is told to the controller of load balancers fits the cloud that the nodes are in."""
    ready, _ = cluster.nodes()
    clouds = sorted({node.provider for node in ready if node.provider})
    told = f"{len(demand.balancers)} load balancers"
    if "kind" in clouds:
        return warn("load balancers", f"{told} on kind, which has no controller of its own", "install one that fits")
    for cloud in clouds:
        if hint := _CLOUDS.get(cloud):
            annotation, otherwise, remedy = hint
            others = [balancer.name for balancer in demand.balancers if not _meant(balancer, annotation)]
            if others:
                return warn(
                    "load balancers",
                    f"{some(others)} would be {otherwise} on {cloud}",
                    f"set in settings.load_balancers {remedy}",
                )
    if not clouds:
        return warn("load balancers", f"{told}, and no node says its cloud", "make sure that a controller makes them")
    return ok("load balancers", f"{told}, told what {', '.join(clouds)} needs")


def _meant(balancer: Balancer, annotation: str) -> bool:
    return balancer.load_balancer_class is not None or any(annotation in name for name in balancer.annotations)


def api_address(cluster: Cluster, settings: Settings) -> Line:
    """Pods that ask the API server may connect to the address that they use.

    Most network plugins judge a connection after the address of a Service was replaced, that of AWS before.
    """
    networks = settings.cluster.api.networks
    try:
        address = cluster.api_address()
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        remedy = "on EKS with the VPC CNI's policies: its address has to be in cluster.api.networks"
        return warn("API server", "may not read the Service kubernetes of namespace default", remedy)
    if any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks):
        return ok("API server", f"{address}, in cluster.api.networks")
    ready, _ = cluster.nodes()
    if any(node.provider == _AWS for node in ready):
        return warn(
            "API server",
            f"its Service has {address}, in none of cluster.api.networks: the VPC CNI's policies refuse it to pods",
            f"add {address}/32 to cluster.api.networks, unless another network plugin enforces policies",
        )
    return ok("API server", f"{', '.join(networks)}, behind {address}")


def of_cluster(cluster: Cluster, settings: Settings, demand: Demand) -> list[Line]:
    """Every check that asks the cluster; one that is refused is a line, not an end. Another cluster ends it."""
    first = guarded("cluster", lambda: [identity(cluster, settings)])
    if first[0].state is State.FAIL:
        return first
    return [
        *first,
        *guarded("version", lambda: [version(cluster)]),
        *guarded(CERT_MANAGER, lambda: list(cert_manager(cluster))),
        *guarded(plugins.NETWORK_POLICIES, lambda: [plugins.network_policies(cluster)]),
        *guarded("metrics API", lambda: [metrics_api(cluster, demand)]),
        *guarded("vertical autoscaler", lambda: [vertical_autoscaler(cluster, demand)]),
        *guarded("storage class", lambda: list(plugins.storage(cluster, demand))),
        *guarded("priority classes", lambda: [priorities(cluster, demand)]),
        *guarded("pull secrets", lambda: [pull_secrets(cluster, demand)]),
        *guarded("nodes", lambda: list(nodes(cluster, demand))),
        *guarded("rights", lambda: [rights(cluster, demand)]),
        *guarded("load balancers", lambda: [load_balancers(cluster, demand)]),
        *guarded("API server", lambda: [api_address(cluster, settings)]),
        *guarded("DNS", lambda: [addresses.dns(cluster, settings)]),
        *guarded("clients", lambda: list(addresses.clients(cluster, settings))),
    ]


def guarded(check: str, ask: Callable[[], list[Line]]) -> list[Line]:
    """Lines of a check; one that cannot ask is a line too."""
    try:
        return ask()
    except ApiException as error:
        remedy = "use a kubeconfig whose user may read it"
        return [fail(check, f"the API server answers {error.status}: {one_line(error.reason)}", remedy)]
    except (OpsError, urllib3.exceptions.HTTPError, OSError) as error:
        return [fail(check, one_line(error), "look at the kubeconfig and the network")]


CHECK: Final = "brokers"


def brokers(kube: Kube, wanted: int, copies: Callable[[], Mapping[int, int]]) -> Line:
    """Compare the brokers that run with those of the settings.

    Args:
        kube: The cluster.
        wanted: Brokers in the settings.
        copies: Asks Kafka how many copies each broker has; called only where a broker would go.

    Raises:
        OpsError: Kafka does not answer.
    """
    there = sorted(int(pod.name.rpartition("-")[2]) for pod in kube.pods(BROKERS))
    leaving = [number for number in there if number >= wanted]
    full = {number: count for number, count in copies().items() if number in leaving and count} if leaving else {}
    if not full:
        return Line(check=CHECK, state=State.OK, detail=f"{len(there)} run, {wanted} in the settings")
    holding = ", ".join(f"broker {number} has {count} copies" for number, count in sorted(full.items()))
    options = " ".join(f"--drain {number}" for number in sorted(full))
    return Line(
        check=CHECK,
        state=State.FAIL,
        detail=f"settings.kafka.brokers are {wanted}, and {holding}",
        remedy=f"first `python -m ops kafka rebalance {options}`, then the settings",
    )
