"""The cluster's plug-ins: whether its network plug-in enforces NetworkPolicies, as far as the API server shows what
runs; and whether StorageClasses are there, and make volumes that grow and that the pod's node reaches.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.client.exceptions import ApiException

from ops.preflight.demand import FORBIDDEN, Cluster, Demand
from ops.preflight.images import reference
from ops.preflight.lines import Line, fail, ok, some, warn

NETWORK_POLICIES: Final = "network policies"
_DAEMONS: Final = "/apis/apps/v1/daemonsets?limit=500"
_ENFORCES: Final[Mapping[str, str]] = {
    "calico-node": "Calico",
    "antrea-agent": "Antrea",
    "weave-npc": "Weave Net",
    "ovnkube-node": "OVN-Kubernetes",
    "ovnkube-controller": "OVN-Kubernetes",
    "azure-npm": "Azure NPM",
    "kube-network-policies": "kube-network-policies",
}
"""Container of a DaemonSet, or its image -> plug-in that enforces policies, however it is set up."""
_DATAPLANE: Final = "anetd"
_FLANNEL: Final = "kube-flannel"
_INSTALL: Final = "install one that enforces them, such as Calico or Cilium, before the platform"
_TRY: Final = (
    "try it in an empty namespace: `kubectl run web --image=nginx --port=80 --expose`; `kubectl run try --rm -it "
    "--restart=Never --image=busybox -- wget -T 5 -qO- web` answers, and times out once there is a NetworkPolicy with "
    "podSelector: {} and policyTypes: [Ingress]"
)
_KINDNET: Final = 20240813
"""Date in the tag of the first image of kindnet that enforces policies, that of kind 0.24."""
_AWS: Final = "aws-node"
_AWS_AGENTS: Final = ("aws-eks-nodeagent", "aws-network-policy-agent")
_AWS_CONFIG: Final = ("kube-system", "amazon-vpc-cni")
_AWS_KEY: Final = "enable-network-policy-controller"
_AWS_AUTO: Final = ("eks.amazonaws.com/compute-type", "auto")
_K3S_ARGUMENTS: Final = "k3s.io/node-args"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was seen of a plug-in.

    Attributes:
        plugin: Its name, and what of its settings counts.
        enforces: Whether it enforces policies; None: cannot be seen.
        remedy: What to do where it does not.
    """

    plugin: str
    enforces: bool | None = True
    remedy: str = _INSTALL


def network_policies(cluster: Cluster) -> Line:
    """Someone enforces NetworkPolicies, without which everything in the cluster may call the platform."""
    try:
        daemons = cluster.objects(_DAEMONS)
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        return warn(NETWORK_POLICIES, "may not list DaemonSets: whether they are enforced could not be seen", _TRY)
    running = [daemon for daemon in daemons if (daemon.get("status") or {}).get("desiredNumberScheduled")]
    verdicts = [verdict for daemon in running for verdict in _of_daemon(cluster, daemon)]
    if not any(verdict.enforces for verdict in verdicts):
        verdicts += _of_nodes(cluster)
    if enforcing := [verdict.plugin for verdict in verdicts if verdict.enforces]:
        return ok(NETWORK_POLICIES, f"enforced by {some(list(dict.fromkeys(enforcing)))}")
    if idle := [verdict for verdict in verdicts if verdict.enforces is False]:
        return fail(NETWORK_POLICIES, f"not enforced by {some([verdict.plugin for verdict in idle])}", idle[0].remedy)
    seen = some([verdict.plugin for verdict in verdicts]) or "no plug-in is seen that is known here"
    return warn(NETWORK_POLICIES, f"{seen}: whether they are enforced is unknown", _TRY)


def _of_daemon(cluster: Cluster, daemon: Mapping[str, Any]) -> Iterator[Verdict]:
    """What a DaemonSet does about policies; nothing where it is no network plug-in that is known."""
    metadata, pod = daemon["metadata"], daemon["spec"]["template"]["spec"]
    containers = {str(container["name"]): container for container in pod["containers"]}
    images = {name: reference(str(container.get("image"))) for name, container in containers.items()}
    programs = {image.repository.rpartition("/")[2] for image in images.values()}
    for name in sorted(_ENFORCES.keys() & {*containers, *programs}):
        yield Verdict(plugin=_ENFORCES[name])
    if metadata["name"] == _DATAPLANE:
        yield Verdict(plugin="GKE Dataplane V2")
    elif "cilium-agent" in containers:
        yield _cilium(_configuration(cluster, metadata["namespace"], "cilium-config"))
    if router := containers.get("kube-router"):
        enforces = _flag(_words(router), "run-firewall") != "false"
        yield Verdict(
            plugin="kube-router" if enforces else "kube-router with --run-firewall=false",
            enforces=enforces,
            remedy="set --run-firewall=true in its DaemonSet",
        )
    if kindnet := images.get("kindnet-cni"):
        yield _kindnet(kindnet.tag)
    if metadata["name"] == _AWS:
        yield _aws(cluster, [containers[name] for name in _AWS_AGENTS if name in containers])
    if _FLANNEL in containers:
        remedy = "add Calico to it (Canal), or its own chart with netpol.enabled=true, or use another plug-in"
        yield Verdict(plugin="flannel alone", enforces=False, remedy=remedy)


def _cilium(configuration: Mapping[str, str] | None) -> Verdict:
    known = configuration or {}
    for key, off in (("enable-policy", "never"), ("enable-k8s-networkpolicy", "false")):
        if known.get(key) == off:
            remedy = f"take {key} out of the ConfigMap cilium-config, and restart Cilium"
            return Verdict(plugin=f"Cilium with {key}: {off}", enforces=False, remedy=remedy)
    return Verdict(plugin="Cilium")


def _kindnet(tag: str) -> Verdict:
    if not (date := re.match(r"v(\d{8})\b", tag)):
        return Verdict(plugin=f"kindnet {tag or 'without a tag'}", enforces=None)
    return Verdict(
        plugin=f"kindnet {tag}",
        enforces=int(date[1]) >= _KINDNET,
        remedy="make the cluster with kind 0.24 or newer, or with disableDefaultCNI and another plug-in",
    )


def _aws(cluster: Cluster, agents: Sequence[Mapping[str, Any]]) -> Verdict:
    """The VPC CNI: its agent on the nodes and the controller of the control plane both have to be on."""
    remedy = (
        "`aws eks update-addon --cluster-name NAME --addon-name vpc-cni --configuration-values "
        """'{"enableNetworkPolicy": "true"}'`"""
    )
    if not any(_flag(_words(agent), "enable-network-policy") == "true" for agent in agents):
        without = "without its agent" if not agents else "whose agent has no --enable-network-policy=true"
        return Verdict(plugin=f"the VPC CNI, {without}", enforces=False, remedy=remedy)
    if ((_configuration(cluster, *_AWS_CONFIG) or {}).get(_AWS_KEY) or "true") != "true":
        detail = f"the VPC CNI, whose ConfigMap {_AWS_CONFIG[1]} has no {_AWS_KEY}: true"
        return Verdict(plugin=detail, enforces=False, remedy=remedy)
    return Verdict(plugin="the VPC CNI")


def _of_nodes(cluster: Cluster) -> Iterator[Verdict]:
    """What is built into nodes, and so in no DaemonSet: EKS Auto Mode and k3s."""
    ready, _ = cluster.nodes()
    key, auto = _AWS_AUTO
    if ready and all(node.labels.get(key) == auto for node in ready):
        configuration = _configuration(cluster, *_AWS_CONFIG)
        enabled = None if configuration is None else configuration.get(_AWS_KEY) == "true"
        remedy = f'make the ConfigMap {_AWS_CONFIG[1]} in {_AWS_CONFIG[0]} with {_AWS_KEY}: "true"'
        plugin = f"EKS Auto Mode without {_AWS_KEY}" if enabled is False else "EKS Auto Mode"
        yield Verdict(plugin=plugin, enforces=enabled, remedy=remedy)
    started = [_listed(node.annotations[_K3S_ARGUMENTS]) for node in ready if _K3S_ARGUMENTS in node.annotations]
    servers = [words for words in started if words[:1] == ["server"]]
    if any(_flag(words, "disable-network-policy") == "true" for words in servers):
        remedy = f"start its servers without --disable-network-policy, or {_INSTALL}"
        yield Verdict(plugin="k3s with --disable-network-policy", enforces=False, remedy=remedy)
    elif started:
        yield Verdict(plugin="k3s", enforces=True if servers else None)


def _configuration(cluster: Cluster, namespace: str, name: str) -> Mapping[str, str] | None:
    """What a ConfigMap has: nothing where there is none, None where it may not be read."""
    try:
        config_map = cluster.read(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        return None
    return (config_map or {}).get("data") or {}


def _words(container: Mapping[str, Any]) -> list[str]:
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def _listed(text: str) -> list[str]:
    try:
        words = json.loads(text)
    except ValueError:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def _flag(words: Sequence[str], name: str) -> str | None:
    """Value of an option of a command line: ``true`` where it stands alone, None where it is not there."""
    for word, following in itertools.pairwise([*words, ""]):
        option, _, value = word.partition("=")
        if option.lstrip("-") == name:
            return value or (following if following in ("true", "false") else "true")
    return None


_STORAGE_API: Final = "/apis/storage.k8s.io/v1"
_VOLUMES: Final = "volumes"
_ZONE: Final = "topology.kubernetes.io/zone"
_MOVED: Final[Mapping[str, str]] = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
}
"""Provisioner that Kubernetes had itself -> the driver that answers for it."""
_ADD_ONS: Final[Mapping[str, str]] = {"ebs.csi.aws.com": "on EKS the add-on aws-ebs-csi-driver"}
_ELSE: Final = "or set settings.storage.storage_class to a class whose driver is there"


def storage(cluster: Cluster, demand: Demand) -> Iterator[Line]:
    """StorageClasses are there, and what is to be known of their volumes."""
    there = {str(one["metadata"]["name"]): one for one in cluster.objects(f"{_STORAGE_API}/storageclasses")}
    names = ", ".join(sorted(demand.storage_classes)) or "none"
    if missing := sorted(demand.storage_classes - set(there)):
        remedy = f"set settings.storage.storage_class to one of {', '.join(sorted(there))}" if there else "make one"
        yield fail("storage class", f"there is no {', '.join(missing)}", remedy)
    else:
        yield ok("storage class", f"{names} is there")
    used = {name: there[name] for name in sorted(demand.storage_classes & set(there))}
    if used:
        lines = [*_drivers(cluster, used), *_growth(used), *_zones(cluster, used)]
        yield from lines or [
            ok(_VOLUMES, f"those of {', '.join(used)} have a driver, grow, and are where their pods are")
        ]


def _drivers(cluster: Cluster, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """The drivers that classes name are there, as far as their provisioners are drivers (CSI) by their name.

    Only of those that clouds bring is it sure that each has an object CSIDriver; others may do without.
    """
    asked_for = {name: _MOVED.get(str(one["provisioner"]), str(one["provisioner"])) for name, one in classes.items()}
    wanted = {name: driver for name, driver in asked_for.items() if "/" not in driver and "csi" in driver.split(".")}
    if not wanted:
        return
    try:
        there = cluster.names(f"{_STORAGE_API}/csidrivers")
    except ApiException as error:
        if error.status != FORBIDDEN:
            raise
        told = ", ".join(sorted(set(wanted.values())))
        yield warn(_VOLUMES, f"may not list CSIDrivers: whether {told} is there", "look at `kubectl get csidrivers`")
        return
    for name, driver in wanted.items():
        if driver in there:
            continue
        problem = f"{name} makes none: there is no driver {driver}"
        if driver in _MOVED.values():
            yield fail(_VOLUMES, problem, f"install it ({_ADD_ONS.get(driver, 'your cloud has an add-on')}), {_ELSE}")
        else:
            yield warn(_VOLUMES, f"{name} may make none: there is no CSIDriver {driver}", f"install it, {_ELSE}")


def _growth(classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    fixed = [name for name, one in classes.items() if not one.get("allowVolumeExpansion")]
    if fixed:
        remedy = "set it where the driver can: sizes are raised later, and never lowered"
        yield warn(_VOLUMES, f"those of {', '.join(fixed)} stay as large as they are: no allowVolumeExpansion", remedy)


def _zones(cluster: Cluster, classes: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    at_once = [name for name, one in classes.items() if one.get("volumeBindingMode") != "WaitForFirstConsumer"]
    zones = _zones_of(cluster)
    if at_once and len(zones) > 1:
        yield warn(
            _VOLUMES,
            f"those of {', '.join(at_once)} get a zone ({', '.join(zones)}) before their pods have a node: a pod may "
            "fit in another one alone",
            "take a class with volumeBindingMode: WaitForFirstConsumer",
        )


def _zones_of(cluster: Cluster) -> Sequence[str]:
    ready, _ = cluster.nodes()
    return sorted({node.labels[_ZONE] for node in ready if _ZONE in node.labels})
