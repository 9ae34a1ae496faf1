"""Which network plug-ins enforce NetworkPolicies, by what the API server shows of them."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from kubernetes.client.exceptions import ApiException

from ops.preflight.demand import Cluster, Need, Node
from ops.preflight.lines import Line, State
from ops.preflight.plugins import network_policies

AUTO = {"eks.amazonaws.com/compute-type": "auto"}
SWITCH = "enable-network-policy-controller"
REFUSED = {"": ""}
"""A ConfigMap that may not be read."""


class Seen:
    """A cluster with DaemonSets (None: they may not be listed), nodes, and ConfigMaps."""

    def __init__(
        self,
        daemons: list[dict[str, Any]] | None,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        **configurations: dict[str, str],
    ) -> None:
        self._daemons, self._configurations = daemons, configurations
        self._node = Node(
            name="n",
            provider="",
            labels=labels or {},
            annotations=annotations or {},
            taints=[],
            capacity=Need(),
            used=Need(),
        )

    def objects(self, path: str) -> list[dict[str, Any]]:
        assert path.startswith("/apis/apps/v1/daemonsets?limit=")
        if self._daemons is None:
            raise ApiException(status=403, reason="Forbidden")
        return self._daemons

    def read(self, path: str) -> dict[str, Any] | None:
        content = self._configurations.get(path.rpartition("/")[2].replace("-", "_"))
        if content is REFUSED:
            raise ApiException(status=403, reason="Forbidden")
        return None if content is None else {"data": content}

    def nodes(self) -> tuple[list[Node], bool]:
        return [self._node], True


def daemon(name: str, *containers: str | dict[str, Any], nodes: int = 3) -> dict[str, Any]:
    """A DaemonSet; a container is its name with its image, or all of it."""
    listed = [
        container
        if isinstance(container, dict)
        else {"name": container.partition(" ")[0], "image": container.partition(" ")[2]}
        for container in containers
    ]
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": listed}}},
        "status": {"desiredNumberScheduled": nodes},
    }


def line(daemons: list[dict[str, Any]] | None, **more: Any) -> Line:
    return network_policies(cast(Cluster, Seen(daemons, **more)))


FLANNEL = "kube-flannel docker.io/flannel/flannel:v0.26.0"
KINDNET = "kindnet-cni docker.io/kindest/kindnetd:"


def _agent(value: str) -> dict[str, Any]:
    return {
        "name": "aws-eks-nodeagent",
        "image": "a",
        "args": ["--enable-ipv6=false", f"--enable-network-policy={value}"],
    }


@pytest.mark.parametrize(
    ("daemons", "detail"),
    [
        ([daemon("calico-node", "calico-node quay.io/calico/node:v3.30.0")], "Calico"),
        ([daemon("rke2-canal", "calico-node x", FLANNEL)], "Calico"),
        ([daemon("cilium", "cilium-agent quay.io/cilium/cilium:v1.18.0")], "Cilium"),
        ([daemon("anetd", "cilium-agent gke.gcr.io/cilium/cilium")], "GKE Dataplane V2"),
        ([daemon("antrea-agent", "antrea-agent x")], "Antrea"),
        ([daemon("weave-net", "weave x", "weave-npc x")], "Weave Net"),
        ([daemon("ovnkube-node", "ovn-controller x", "ovnkube-controller x")], "OVN-Kubernetes"),
        ([daemon("azure-npm", "azure-npm x")], "Azure NPM"),
        ([daemon("kube-router", {"name": "kube-router", "args": ["--run-router=true"]})], "kube-router"),
        ([daemon("kindnet", f"{KINDNET}v20240813-c6f155d6")], "kindnet v20240813-c6f155d6"),
        ([daemon("kindnet", f"{KINDNET}v20250512-df8de77b")], "kindnet v20250512-df8de77b"),
        ([daemon("aws-node", "aws-node x", _agent("true"))], "the VPC CNI"),
        (
            [daemon("kube-flannel-ds", FLANNEL, "netpol registry.k8s.io/networking/kube-network-policies:v0.7.0")],
            "kube-",
        ),
        ([daemon("aws-node", "aws-node x", _agent("false")), daemon("cilium", "cilium-agent x")], "Cilium"),
    ],
)
def test_a_plug_in_that_enforces_policies_is_named(daemons: list[dict[str, Any]], detail: str) -> None:
    told = line([daemon("kube-proxy", "kube-proxy x"), *daemons])
    assert (told.check, told.state) == ("network policies", State.OK)
    assert told.detail.startswith(f"enforced by {detail}")


@pytest.mark.parametrize(
    ("daemons", "more", "detail", "remedy"),
    [
        ([daemon("kube-flannel-ds", FLANNEL)], {}, "flannel alone", "add Calico to it (Canal), or its own chart"),
        (
            [daemon("kube-flannel-ds", FLANNEL), daemon("calico-node", "calico-node x", nodes=0)],
            {},
            "flannel alone",
            "add Calico",
        ),
        (
            [daemon("aws-node", "aws-node x", _agent("false"))],
            {},
            "the VPC CNI, whose agent has no --enable-network-policy=true",
            "`aws eks update-addon --cluster-name NAME --addon-name vpc-cni",
        ),
        ([daemon("aws-node", "aws-node x")], {}, "the VPC CNI, without its agent", "`aws eks update-addon"),
        (
            [daemon("aws-node", "aws-node x", _agent("true"))],
            {"amazon_vpc_cni": {SWITCH: "false"}},
            f"the VPC CNI, whose ConfigMap amazon-vpc-cni has no {SWITCH}: true",
            "`aws eks update-addon",
        ),
        (
            [daemon("kindnet", f"{KINDNET}v20240513-cd2ac642")],
            {},
            "kindnet v20240513-cd2ac642",
            "make the cluster with kind 0.24 or newer",
        ),
        (
            [daemon("kube-router", {"name": "kube-router", "args": ["--run-firewall=false"]})],
            {},
            "kube-router with --run-firewall=false",
            "set --run-firewall=true",
        ),
        (
            [daemon("cilium", "cilium-agent x")],
            {"cilium_config": {"enable-policy": "never"}},
            "Cilium with enable-policy: never",
            "take enable-policy out of the ConfigMap cilium-config",
        ),
        (
            [],
            {"annotations": {"k3s.io/node-args": json.dumps(["server", "--disable-network-policy"])}},
            "k3s with --disable-network-policy",
            "start its servers without --disable-network-policy",
        ),
        ([], {"labels": AUTO}, f"EKS Auto Mode without {SWITCH}", "make the ConfigMap amazon-vpc-cni in kube-system"),
    ],
)
def test_a_plug_in_that_does_not_enforce_them_is_refused_with_what_to_do(
    daemons: list[dict[str, Any]], more: dict[str, Any], detail: str, remedy: str
) -> None:
    told = line(daemons, **more)
    assert (told.state, told.detail) == (State.FAIL, f"not enforced by {detail}")
    assert told.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("more", "plugin"),
    [
        ({"annotations": {"k3s.io/node-args": '["server", "--disable-network-policy", "false"]'}}, "k3s"),
        ({"labels": AUTO, "amazon_vpc_cni": {SWITCH: "true"}}, "EKS Auto Mode"),
    ],
)
def test_what_is_built_into_nodes_is_known_by_their_settings(more: dict[str, Any], plugin: str) -> None:
    assert line([], **more).detail == f"enforced by {plugin}"


@pytest.mark.parametrize(
    ("daemons", "more", "detail"),
    [
        ([], {}, "no plug-in is seen that is known here: whether they are enforced is unknown"),
        (None, {}, "may not list DaemonSets: whether they are enforced could not be seen"),
        ([daemon("kindnet", f"{KINDNET}v1.8.5")], {}, "kindnet v1.8.5: whether"),
        ([], {"annotations": {"k3s.io/node-args": '["agent"]'}}, "k3s: whether"),
        ([], {"annotations": {"k3s.io/node-args": "?"}}, "k3s: whether"),
        ([], {"labels": AUTO, "amazon_vpc_cni": REFUSED}, "EKS Auto Mode: whether"),
    ],
)
def test_what_cannot_be_seen_is_a_warning_that_says_how_to_try(
    daemons: list[dict[str, Any]] | None, more: dict[str, Any], detail: str
) -> None:
    told = line(daemons, **more)
    assert told.state is State.WARN
    assert told.detail.startswith(detail)
    assert "wget -T 5 -qO- web` answers, and times out once there is a NetworkPolicy" in told.remedy


def test_settings_that_may_not_be_read_do_not_count() -> None:
    assert line([daemon("cilium", "cilium-agent x")], cilium_config=REFUSED).state is State.OK
    assert line([daemon("aws-node", "a x", _agent("true"))], amazon_vpc_cni=REFUSED).state is State.OK
