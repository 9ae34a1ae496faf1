"""A certificate names its own workload: its Services, its pods, and itself as the user that servers take it for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from policy.model import Finding, Option, Options, Resource, Rule
from policy.rules._kubernetes import of_kind, served, template
from policy.rules._values import each_known, finding, loopback
from policy.rules.workload_life import sources


def _own(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    certificates = [item for item in of_kind(resources, "Certificate") if item.type.startswith("kubernetes:cert-man")]
    services = {item.object_name: item for item in of_kind(resources, "Service")}
    behind = {name: served(service, resources) for name, service in services.items()}
    users: dict[str, str] = {}
    for certificate in certificates:
        user = certificate.node.at("spec.commonName")
        first = users.setdefault(user.text(), certificate.object_name)
        if user.text() and first != certificate.object_name:
            problem = f"servers take it for {first}: both have the common name {user.text()}"
            yield finding(certificate, user, problem, "name the certificate's own workload")
        elif user.text() in behind and certificate.object_name not in (user.text(), f"{user.text()}-tls"):
            problem = f"servers take it for {user.text()}, which is another workload"
            yield finding(certificate, user, problem, "name the certificate's own workload")
    yield from each_known(_names(certificate, behind) for certificate in certificates)
    yield from each_known(_reached(certificate, services, behind) for certificate in certificates)
    if options["outside"]:
        yield from each_known(_named_outside(certificate, {*options["outside"]}) for certificate in certificates)


def _reached(
    certificate: Resource, services: Mapping[str, Resource], behind: Mapping[str, list[Resource]]
) -> Iterator[Finding]:
    """Pods are reached by the names that their headless Services give them."""
    names, user = certificate.node.at("spec.dnsNames"), certificate.node.at("spec.commonName").text()
    for service, workloads in behind.items():
        own = [workload for workload in workloads if workload.object_name == user]
        headless = services[service].node.at("spec.clusterIP").text() == "None"
        pods = f"*.{service}.{services[service].namespace}.svc"
        if headless and _any(own, certificate) and not any(name.startswith(pods) for name in names.texts()):
            yield finding(certificate, names, f"nobody can verify the pods of {service} by it", f"add {pods}")


def _named_outside(certificate: Resource, outside: Set[str]) -> Iterator[Finding]:
    spec = certificate.node["spec"]
    for node in (*spec["dnsNames"].elements(), *spec["ipAddresses"].elements()):
        name = node.text()
        inside = name.endswith(f".{certificate.namespace}") or f".{certificate.namespace}.svc" in name
        if name not in outside and not inside and "." in name.removeprefix("*.") and not loopback(name):
            problem = f"it is good for {name}, which is no name of the platform's"
            yield finding(certificate, node, problem, "remove it, or say it in the stack file: host")


def _names(certificate: Resource, behind: Mapping[str, list[Resource]]) -> Iterator[Finding]:
    for node in certificate.node.at("spec.dnsNames").elements():
        labels = node.text().removeprefix("*.").split(".")
        inside = len(labels) == 1 or labels[1] == certificate.namespace or "svc" in labels
        workloads = behind.get(labels[0], []) if inside else []
        if workloads and not _any(workloads, certificate):
            problem = f"it may pass for {labels[0]}, whose pods have another certificate"
            yield finding(certificate, node, problem, "remove the name")


def _any(workloads: Sequence[Resource], certificate: Resource) -> bool:
    return any(has_certificate(workload, certificate) for workload in workloads)


def has_certificate(workload: Resource, certificate: Resource) -> bool:
    """Whether the pods of a workload get a certificate."""
    secret = certificate.node.at("spec.secretName").text()
    used = sources(template(workload)["spec"])
    return any(kind == "Secret" and node.text() == secret for kind, node in used)


RULES: tuple[Rule, ...] = (
    Rule(
        id="certificate-own-names",
        promise="A certificate has the names of its own workload and of its pods, no other, and a user of its own.",
        why="With the name of Kafka in its certificate a gateway could pass for a broker, or be its super user.",
        sources=("K5",),
        options={
            "outside": Option(
                default=[],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="names and addresses outside the cluster that certificates may have; none: any",
            )
        },
        stack=_own,
    ),
)
"""Rules of this concern."""
