"""A certificate names its own workload: its Services, and itself as the user that servers take it for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Options, Resource, Rule
from policy.rules._kubernetes import of_kind, served, template
from policy.rules._values import each_known, finding
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


def _names(certificate: Resource, behind: dict[str, list[Resource]]) -> Iterator[Finding]:
    secret = certificate.node.at("spec.secretName").text()
    for node in certificate.node.at("spec.dnsNames").elements():
        labels = node.text().removeprefix("*.").split(".")
        inside = len(labels) == 1 or labels[1] == certificate.namespace or "svc" in labels
        workloads = behind.get(labels[0], []) if inside else []
        if workloads and not any(_mounts(workload, secret) for workload in workloads):
            problem = f"it may pass for {labels[0]}, whose pods have another certificate"
            yield finding(certificate, node, problem, "remove the name")


def _mounts(workload: Resource, secret: str) -> bool:
    used = sources(template(workload)["spec"])
    return any(kind == "Secret" and node.text() == secret for kind, node in used)


RULES: tuple[Rule, ...] = (
    Rule(
        id="certificate-own-names",
        promise="A certificate has the names of its own workload's Services, and a common name of its own.",
        why="With the name of Kafka in its certificate a gateway could pass for a broker, or be its super user.",
        sources=("K5",),
        stack=_own,
    ),
)
"""Rules of this concern."""
