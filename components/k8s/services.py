"""Services: inside the cluster, headless, and load-balanced to the outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.k8s.deployment_context import DeploymentContext


def cluster_service(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    ports: Mapping[str, int],
    name: str | None = None,
) -> k8s.core.v1.Service:
    """A ClusterIP Service of a workload (name: the workload's, unless given). ``pulumi up`` does not wait for it.

    The workload itself is what is awaited; a Service that waited for it as well would only wait twice.
    """
    return _service(parent, context, workload, name or workload, ports, {"type": "ClusterIP"}, await_it=False)


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
    extra_selector: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
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
        extra_selector: Narrows the pods, for example to one broker.
        annotations: For the cloud's load balancer.
        publish_not_ready: Also route to pods that are not ready (brokers, which clients find one by one).
    """
    spec: dict[str, object] = {
        "type": "LoadBalancer",
        "load_balancer_ip": address,
        "load_balancer_source_ranges": list(source_ranges),
        "external_traffic_policy": "Local",
        "publish_not_ready_addresses": publish_not_ready or None,
    }
    return _service(
        parent, context, workload, name, ports, spec, extra_selector=extra_selector, annotations=annotations
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
        opts=pulumi.ResourceOptions(parent=parent, custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m")),
    )
