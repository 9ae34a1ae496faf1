"""Services, and the NetworkPolicies around them: nothing talks to anything unless a rule here says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import ObjectStorage
from components.k8s.deployment_context import DeploymentContext, DnsPods
from components.k8s.pods import metadata


@dataclass(frozen=True, kw_only=True)
class LoadBalancerOptions:
    """What the cloud's load balancer of a Service is told.

    Attributes:
        annotations: Annotations of the Service, for example that the load balancer is an internal one.
        load_balancer_class: Which controller makes it; None: the cluster's own.
    """

    annotations: Mapping[str, str] = field(default_factory=dict)
    load_balancer_class: str | None = None


def cluster_service(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    ports: Mapping[str, int],
    name: str | None = None,
    address: str | None = None,
) -> k8s.core.v1.Service:
    """A ClusterIP Service of a workload (name: the workload's, unless given). ``pulumi up`` does not wait for it.

    The workload itself is what is awaited; a Service that waited for it as well would only wait twice. An ``address``
    of its own is for who cannot ask the cluster's DNS.
    """
    spec = {"type": "ClusterIP", **({"cluster_ip": address} if address else {})}
    return _service(parent, context, workload, name or workload, ports, spec, await_it=False)


def headless_service(
    parent: pulumi.Resource, context: DeploymentContext, *, workload: str, ports: Mapping[str, int]
) -> k8s.core.v1.Service:
    """The headless Service ``<workload>-headless``: DNS names per pod, also of pods that are not ready yet."""
    spec = {"type": "ClusterIP", "cluster_ip": "None", "publish_not_ready_addresses": True}
    return _service(parent, context, workload, naming.headless(workload), ports, spec, await_it=False)


def load_balancer(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    name: str,
    ports: Mapping[str, int],
    address: str | None,
    source_ranges: Sequence[str],
    options: LoadBalancerOptions,
    extra_selector: Mapping[str, str] | None = None,
    publish_not_ready: bool = False,
) -> k8s.core.v1.Service:
    """A LoadBalancer Service that keeps the clients' addresses, so that NetworkPolicies see them.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: Workload whose pods answer.
        name: Name of the Service.
        ports: Port name -> number (the same outside and in the pod).
        address: Address to ask the load balancer for, or None to take any.
        source_ranges: Networks that may connect.
        options: For the cloud's load balancer.
        extra_selector: Narrows the pods, for example to one broker.
        publish_not_ready: Also route to pods that are not ready (brokers, which clients find one by one).
    """
    spec: dict[str, object] = {
        "type": "LoadBalancer",
        "load_balancer_ip": address,
        "load_balancer_class": options.load_balancer_class,
        "load_balancer_source_ranges": list(source_ranges),
        "external_traffic_policy": "Local",
        "publish_not_ready_addresses": publish_not_ready or None,
    }
    return _service(
        parent, context, workload, name, ports, spec, extra_selector=extra_selector, annotations=options.annotations
    )


def _service(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: str,
    name: str,
    ports: Mapping[str, int],
    spec: Mapping[str, object],
    *,
    extra_selector: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    await_it: bool = True,
) -> k8s.core.v1.Service:
    """A Service of any kind; ``spec`` holds what the kinds differ in."""
    notes = dict(annotations or {})
    if not await_it:
        notes["pulumi.com/skipAwait"] = "true"
    typed = k8s.core.v1.ServiceSpecArgs(
        selector={**naming.selector(workload), **(extra_selector or {})},
        ports=[
            k8s.core.v1.ServicePortArgs(name=port_name, port=port, target_port=port, protocol="TCP")
            for port_name, port in ports.items()
        ],
        **spec,  # type: ignore[arg-type]
    )
    return k8s.core.v1.Service(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=name, namespace=context.namespace_ref, labels=naming.labels(workload), annotations=notes
        ),
        spec=typed,
        opts=pulumi.ResourceOptions(
            parent=parent,
            custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m"),
            # Kubernetes refuses another class or address for a Service that there is.
            replace_on_changes=["spec.loadBalancerClass", "spec.clusterIP"],
        ),
    )


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
        out.append(_dns(context))
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


def _dns(context: DeploymentContext) -> k8s.networking.v1.NetworkPolicyEgressRuleArgs:
    """Questions to the cluster's DNS, and to the further servers that the platform is told of."""
    pods = [DnsPods(namespace="kube-system", labels={"k8s-app": "kube-dns"}), *context.dns.pods]
    return k8s.networking.v1.NetworkPolicyEgressRuleArgs(
        to=[
            *(
                PolicyPeer(
                    namespace_selector=k8s.meta.v1.LabelSelectorArgs(
                        match_labels={"kubernetes.io/metadata.name": servers.namespace}
                    ),
                    pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=servers.labels),
                )
                for servers in pods
            ),
            *(network(cidr) for cidr in context.dns.networks),
        ],
        ports=[
            k8s.networking.v1.NetworkPolicyPortArgs(port=_DNS_PORT, protocol=protocol) for protocol in ("UDP", "TCP")
        ],
    )
