"""What is reachable from outside the cluster: Services, Ingresses, and the servers behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._exposed import weakness
from policy.rules._kubernetes import NETWORKS, at, number, of_kind, served, shown, state, too_wide
from policy.rules._servers import Container, containers
from policy.rules._values import each_known

_SECURED = "give it TLS and a login, or make the Service a ClusterIP"


def _kinds(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    kind = spec["type"]
    if kind.value == "NodePort":
        yield at(
            resource, kind, 'the type is "NodePort", open on every node to everybody', "use ClusterIP or LoadBalancer"
        )
    if kind.value == "ExternalName":
        yield at(
            resource, kind, 'the type is "ExternalName", an alias that no certificate of ours covers', "use ClusterIP"
        )
    if spec["externalIPs"].value:
        node = spec["externalIPs"]
        yield at(
            resource, node, f"externalIPs {state(node.raw)}, which takes the traffic of those addresses", "remove it"
        )


def _ranges(resource: Resource, options: Options) -> Iterator[Finding]:
    spec = resource.node["spec"]
    if not resource.kubernetes or spec["type"].value != "LoadBalancer":
        return
    ranges = spec["loadBalancerSourceRanges"]
    if not ranges.texts():
        yield at(
            resource,
            ranges,
            f"loadBalancerSourceRanges {state(ranges.raw)}: everybody may connect",
            "name the networks",
        )
    for node in ranges.elements():
        if too_wide(node.text(), options):
            yield at(resource, node, f"the network {shown(node.raw)} may connect", "name smaller networks")
    policy = spec["externalTrafficPolicy"]
    if policy.value != "Local":
        yield at(
            resource,
            policy,
            f"externalTrafficPolicy {state(policy.raw)}, which hides the clients' addresses",
            'set it to "Local"',
        )


def _servers(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    for service in of_kind(resources, "Service"):
        kind = service.node.at("spec.type").text()
        if kind not in ("LoadBalancer", "NodePort"):
            continue
        behind = served(service, resources)
        if not behind:
            yield Finding(
                resource=service,
                where="spec.selector",
                problem="no workload of the stack is behind it",
                fix="select the pods of one workload, or remove the Service",
            )
        yield from each_known(
            _behind(service, port, workload, resources, kind)
            for workload in behind
            for port in service.node.at("spec.ports").elements()
        )


def _behind(
    service: Resource, port: Node, workload: Resource, resources: Sequence[Resource], what: str
) -> Iterator[Finding]:
    target = port["targetPort"] if port["targetPort"].exists else port["port"]
    targets = list(_targets(workload, target))
    if not targets:
        yield at(
            service,
            target,
            f"no container of {workload.label} has the port {shown(target.raw)}",
            "name one that it has",
        )
    for container, listens in targets:
        problem = weakness(container, listens, resources)
        if problem is None:
            name = container.node["name"].text()
            problem = f"no server that is known to have TLS and a login is behind port {listens} of container {name}"
        if problem:
            yield at(service, target, f"{what} for {workload.label}: {problem}", _SECURED)


def _targets(workload: Resource, target: Node) -> Iterator[tuple[Container, int]]:
    """Containers with the port, by number or by name."""
    for container in containers(workload):
        for port in container.node["ports"].elements():
            if target.value in (port["containerPort"].value, port["name"].value) or (
                number(target.value) is None and target.text() == port["containerPort"].text()
            ):
                yield container, int(port["containerPort"].value)


def _ingress(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    covered = {
        host for entry in spec["tls"].elements() if entry["secretName"].text() for host in entry["hosts"].texts()
    }
    if not spec["tls"].value:
        yield at(resource, spec["tls"], f"tls {state(spec['tls'].raw)}", "add it for every host, with a secretName")
        return
    for rule in spec["rules"].elements():
        host = rule["host"]
        if host.text() not in covered:
            name = f"host {host.text()}" if host.text() else "a rule for every host"
            yield at(
                resource,
                host,
                f"{name} is not in tls, so it is served in clear text",
                "add it to tls with a secretName",
            )
    if spec["defaultBackend"].exists:
        yield at(resource, spec["defaultBackend"], "requests for any host reach a server", "remove defaultBackend")


def _ingress_servers(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    services = {(resource.namespace, resource.object_name): resource for resource in of_kind(resources, "Service")}
    for ingress in of_kind(resources, "Ingress"):
        for rule in ingress.node.at("spec.rules").elements():
            for path in rule["http"]["paths"].elements():
                backend = path["backend"]["service"]
                name = backend["name"]
                service = services.get((ingress.namespace, name.text()))
                if service is None:
                    yield at(ingress, name, f"Service {name.text()} is not part of the stack", "name one that is")
                    continue
                for port in service.node.at("spec.ports").elements():
                    wanted = backend["port"]["number"].value, backend["port"]["name"].value
                    if port["port"].value == wanted[0] or (wanted[1] and port["name"].value == wanted[1]):
                        for workload in served(service, resources):
                            yield from _behind(service, port, workload, resources, f"{ingress.label} leads here")


_SERVICE = frozenset({"Service"})

RULES = (
    Rule(
        id="service-kind",
        promise="Services are for the inside of the cluster, or have a load balancer of their own.",
        why="Ports of nodes and addresses of others go past the list of networks that may connect.",
        sources=("K5", "P2"),
        kinds=_SERVICE,
        resource=_kinds,
    ),
    Rule(
        id="service-source-ranges",
        promise="A load balancer says which networks may connect, and keeps the clients' addresses.",
        why="Without the list everybody may try passwords; without the addresses no policy and no audit tells who did.",
        sources=("K5", "P2", "M1"),
        options=NETWORKS,
        kinds=_SERVICE,
        resource=_ranges,
    ),
    Rule(
        id="service-secure-servers",
        promise="Only servers with TLS and a login are reachable from outside.",
        why="Telemetry and passwords would cross networks in clear text, or anybody could read and write.",
        sources=("K5", "O1", "P2", "G1", "J3"),
        stack=_servers,
    ),
    Rule(
        id="ingress-tls",
        promise="An Ingress has TLS for each of its hosts.",
        why="Passwords and session cookies would cross networks in clear text.",
        sources=("P2", "G1", "J3"),
        kinds=frozenset({"Ingress"}),
        resource=_ingress,
    ),
    Rule(
        id="ingress-secure-servers",
        promise="Only servers with TLS and a login are behind an Ingress.",
        why="The way from the Ingress to the server is a network too, and the Ingress asks nobody who they are.",
        sources=("P2", "G1", "J3"),
        stack=_ingress_servers,
    ),
)
"""Rules of this concern."""
