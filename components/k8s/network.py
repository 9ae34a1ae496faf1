"""NetworkPolicies: nothing talks to anything unless a rule here says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import ObjectStorage
from components.k8s.deployment_context import DeploymentContext
from components.k8s.files import metadata

_DNS_PORT = 53

PolicyPeer = k8s.networking.v1.NetworkPolicyPeerArgs


@dataclass(frozen=True, kw_only=True)
class Allow:
    """Traffic with some peers on some TCP ports (no ports: every port; no peers: anybody)."""

    peers: Sequence[PolicyPeer]
    ports: Sequence[int]


def with_access(label: str) -> PolicyPeer:
    """Pods of this namespace that carry an access label."""
    return PolicyPeer(pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={label: "true"}))


def workload_pods(workload: str) -> PolicyPeer:
    """Pods of one workload of this namespace."""
    return PolicyPeer(pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload)))


def namespaces_with(label: str) -> PolicyPeer:
    """All pods of namespaces that carry a label."""
    return PolicyPeer(namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={label: "true"}))


def network(cidr: str) -> PolicyPeer:
    """Addresses of a network, for example load balancer clients."""
    return PolicyPeer(ip_block=k8s.networking.v1.IPBlockArgs(cidr=cidr))


def to_storage(storage: ObjectStorage) -> Allow:
    """Traffic with an object storage outside the cluster."""
    return Allow(peers=[network(cidr) for cidr in storage.networks], ports=[storage.port])


def network_policy(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    ingress: Sequence[Allow] = (),
    egress: Sequence[Allow] = (),
    dns: bool = True,
) -> k8s.networking.v1.NetworkPolicy:
    """What the pods of a workload may receive and send; everything else is refused both ways.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: The pods it is about.
        ingress: Who may connect.
        egress: Whom they may connect to.
        dns: Whether they may ask the cluster's DNS.
    """
    out = [
        k8s.networking.v1.NetworkPolicyEgressRuleArgs(to=list(rule.peers), ports=_tcp(rule.ports)) for rule in egress
    ]
    if dns:
        out.append(_dns())
    return k8s.networking.v1.NetworkPolicy(
        workload,
        metadata=metadata(context, workload, workload),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload)),
            policy_types=["Ingress", "Egress"],
            ingress=[
                k8s.networking.v1.NetworkPolicyIngressRuleArgs(from_=list(rule.peers), ports=_tcp(rule.ports))
                for rule in ingress
            ],
            egress=out,
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def default_deny(parent: pulumi.Resource, context: DeploymentContext) -> k8s.networking.v1.NetworkPolicy:
    """Refuse everything for every pod of the namespace that no other policy names."""
    return k8s.networking.v1.NetworkPolicy(
        "default-deny",
        metadata=metadata(context, "default-deny", "default-deny"),
        spec=k8s.networking.v1.NetworkPolicySpecArgs(
            pod_selector=k8s.meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _tcp(ports: Sequence[int]) -> list[k8s.networking.v1.NetworkPolicyPortArgs]:
    """TCP ports of a rule."""
    return [k8s.networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in ports]


def _dns() -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    """Questions to the cluster's DNS."""
    return k8s.networking.v1.NetworkPolicyEgressRuleArgs(
        to=[
            PolicyPeer(
                namespace_selector=k8s.meta.v1.LabelSelectorArgs(
                    match_labels={"kubernetes.io/metadata.name": "kube-system"}
                ),
                pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"}),
            )
        ],
        ports=[
            k8s.networking.v1.NetworkPolicyPortArgs(port=_DNS_PORT, protocol=protocol) for protocol in ("UDP", "TCP")
        ],
    )
