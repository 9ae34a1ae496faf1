"""Certificates: strong keys, short lives, an authority that only signs, and the names of the own workload only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._kubernetes import at, number, of_kind, served, shown, state, template, workloads
from policy.rules._values import each_known, finding, loopback, seconds, whole_number
from policy.rules.workload_life import sources

_DAY_S = 86400
_SIZES = {"ECDSA": (256, 384, 521), "RSA": (3072, 4096, 8192)}
_WORKLOAD_USES = frozenset({"digital signature", "key encipherment", "server auth", "client auth"})
_AUTHORITY_USES = frozenset({"cert sign", "crl sign", "digital signature"})


def _cert_manager(resource: Resource) -> bool:
    return resource.type.startswith("kubernetes:cert-manager.io/")


def _authority(resource: Resource) -> bool:
    return resource.node.at("spec.isCA").value is True


def _key(resource: Resource, options: Options) -> Iterator[Finding]:
    if not _cert_manager(resource):
        return
    key = resource.node.at("spec.privateKey")
    algorithm = key["algorithm"]
    size = key["size"]
    if algorithm.value not in (*_SIZES, "Ed25519"):
        yield at(resource, algorithm, f"algorithm {state(algorithm.raw)}", "set it to ECDSA")
    elif algorithm.value == "RSA" or size.exists:
        sizes = _SIZES.get(algorithm.text(), ())
        if sizes and number(size.value) not in sizes:
            wanted = ", ".join(map(str, sizes))
            yield at(resource, size, f"size {state(size.raw)} for a key of {algorithm.text()}", f"use one of {wanted}")
    policy = key["rotationPolicy"]
    if _authority(resource):
        if policy.value != "Never":
            yield at(
                resource,
                policy,
                f"rotationPolicy of an authority {state(policy.raw)}",
                'set it to "Never" and change the key on purpose',
            )
    elif policy.value != "Always":
        yield at(resource, policy, f"rotationPolicy {state(policy.raw)}", 'set it to "Always"')


def _life(resource: Resource, options: Options) -> Iterator[Finding]:
    if not _cert_manager(resource):
        return
    most = options["most_days_authority" if _authority(resource) else "most_days"]
    spec = resource.node["spec"]
    duration, renew = spec["duration"], spec["renewBefore"]
    life = seconds(duration.text())
    if life is None or not 0 < life <= most * _DAY_S:
        yield at(resource, duration, f"duration {state(duration.raw)}", f"set it to {most * 24}h or less")
    if spec["renewBeforePercentage"].exists:
        return
    early = seconds(renew.text())
    if early is None or early < options["least_days_left"] * _DAY_S or (life is not None and early >= life):
        yield at(
            resource,
            renew,
            f"renewBefore {state(renew.raw)}",
            f"renew at least {options['least_days_left']} days before the end, and not at once",
        )


def _uses(resource: Resource, options: Options) -> Iterator[Finding]:
    if not _cert_manager(resource):
        return
    usages = resource.node.at("spec.usages")
    allowed = _AUTHORITY_USES if _authority(resource) else _WORKLOAD_USES
    usage_names = set(usages.texts())
    if not usage_names or not usage_names <= allowed:
        yield at(resource, usages, f"usages {state(usages.raw)}", f"use only {', '.join(sorted(allowed))}")


def _authorities(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    issuers = {
        (resource.namespace, resource.object_name): resource
        for resource in of_kind(resources, "Issuer")
        if _cert_manager(resource)
    }
    certificates = of_kind(resources, "Certificate")
    keys = {
        (certificate.namespace, certificate.node.at("spec.secretName").text())
        for certificate in certificates
        if _authority(certificate)
    }
    yield from each_known(_issued(certificate, issuers) for certificate in certificates)
    certificate_secrets = {(resource.namespace, resource.object_name) for resource in of_kind(resources, "Secret")}
    yield from each_known(_signs(issuer, keys | certificate_secrets) for issuer in issuers.values())
    used = (
        (workload, kind, node)
        for workload in workloads(resources)
        for kind, node in sources(template(workload)["spec"])
    )
    yield from each_known(_mounts_key(resource, node, keys) for resource, kind, node in used if kind == "Secret")


def _signs(issuer: Resource, keys: Set[tuple[str, str]]) -> Iterator[Finding]:
    secret = issuer.node.at("spec.ca.secretName")
    if secret.exists and (issuer.namespace, secret.text()) not in keys:
        yield at(
            issuer,
            secret,
            f"it signs with Secret {secret.text()}, which is not part of the stack",
            "make the authority",
        )


def _issued(certificate: Resource, issuers: Mapping[tuple[str, str], Resource]) -> Iterator[Finding]:
    spec = certificate.node["spec"]
    name = spec["issuerRef"]["name"]
    issuer = issuers.get((certificate.namespace, name.text()))
    if issuer is None and spec["issuerRef"]["kind"].text() != "ClusterIssuer":
        yield at(
            certificate, name, f"Issuer {name.text()} is not part of the stack", "name the Issuer of the authority"
        )
    if _authority(certificate):
        signing = {(resource.namespace, resource.node.at("spec.ca.secretName").text()) for resource in issuers.values()}
        if (certificate.namespace, spec["secretName"].text()) not in signing:
            yield at(certificate, spec["isCA"], "it may sign certificates and no Issuer uses it", "remove isCA")
    elif issuer is not None and issuer.node.at("spec.selfSigned").exists:
        yield at(
            certificate,
            name,
            f"Issuer {name.text()} lets it sign itself, so that nobody can verify it",
            "name the Issuer of the authority",
        )


def _mounts_key(workload: Resource, node: Node, keys: Set[tuple[str, str]]) -> Iterator[Finding]:
    if (workload.namespace, node.text()) in keys:
        yield at(
            workload,
            node,
            f"the pods get the key of the authority (Secret {node.text()})",
            "mount a certificate of their own; its ca.crt is the authority's certificate",
        )


def _pod_names(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    headless = [
        resource for resource in of_kind(resources, "Service") if resource.node.at("spec.clusterIP").value == "None"
    ]
    yield from each_known(_wildcards(resource, headless, resources) for resource in of_kind(resources, "Certificate"))


def _wildcards(certificate: Resource, headless: Sequence[Resource], resources: Sequence[Resource]) -> Iterator[Finding]:
    spec = certificate.node["spec"]
    for name in (*spec["dnsNames"].elements(), spec["commonName"]):
        if "*" not in name.text():
            continue
        service = next((resource for resource in headless if _of_service(name.text(), resource, certificate)), None)
        if service is None or not _mounts(certificate, service, resources):
            yield at(
                certificate,
                name,
                f"the name {shown(name.raw)} is not that of a headless Service of its own pods",
                "name the hosts one by one",
            )


def _of_service(name: str, service: Resource, certificate: Resource) -> bool:
    base = f"{service.object_name}.{service.namespace}.svc"
    inside = service.namespace == certificate.namespace
    short = name in (f"*.{service.object_name}", f"*.{service.object_name}.{service.namespace}", f"*.{base}")
    return inside and (short or name.startswith(f"*.{base}."))


def _mounts(certificate: Resource, service: Resource, resources: Sequence[Resource]) -> bool:
    secret = certificate.node.at("spec.secretName").text()
    used = (source for resource in served(service, resources) for source in sources(template(resource)["spec"]))
    return any(kind == "Secret" and node.text() == secret for kind, node in used)


_KINDS = frozenset({"Certificate"})


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
    yield from each_known(_own_names(certificate, behind) for certificate in certificates)
    yield from each_known(_reached(certificate, services, behind) for certificate in certificates)
    if options["outside"]:
        yield from each_known(_named_outside(certificate, {*options["outside"]}) for certificate in certificates)


def _reached(
    certificate: Resource, services: Mapping[str, Resource], behind: Mapping[str, list[Resource]]
) -> Iterator[Finding]:
    """Pods are reached by the names that their headless Services give them."""
    names, user = certificate.node.at("spec.dnsNames"), certificate.node.at("spec.commonName").text()
    for service, served_by in behind.items():
        own = [workload for workload in served_by if workload.object_name == user]
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


def _own_names(certificate: Resource, behind: Mapping[str, list[Resource]]) -> Iterator[Finding]:
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
        id="certificate-key",
        promise="Keys of certificates are strong and new at each renewal; an authority keeps its key.",
        why="A weak or old key may be in other hands; an authority whose key changes breaks every connection.",
        sources=("K5", "P2"),
        kinds=_KINDS,
        resource=_key,
    ),
    Rule(
        id="certificate-life",
        promise="Certificates are short-lived and renewed well before their end.",
        why="A stolen certificate is good until it ends, and one that ends unnoticed stops every connection.",
        sources=("K5", "P2"),
        options={
            "most_days": whole_number(90, "longest life of a workload's certificate"),
            "most_days_authority": whole_number(1827, "longest life of an authority"),
            "least_days_left": whole_number(7, "days before the end by which it is renewed"),
        },
        kinds=_KINDS,
        resource=_life,
    ),
    Rule(
        id="certificate-uses",
        promise="A certificate serves and calls, or signs; never both.",
        why="A workload that may sign can pass for every other one.",
        sources=("K5",),
        kinds=_KINDS,
        resource=_uses,
    ),
    Rule(
        id="certificate-authority",
        promise="Only the authority signs certificates, and no pod has its key.",
        why="Whoever can sign can pass for every server and client of the platform.",
        sources=("K5",),
        stack=_authorities,
    ),
    Rule(
        id="certificate-names",
        promise="Wildcard names stand for the pods of the certificate's own workload alone.",
        why="A wider name lets one workload pass for others.",
        sources=("K5",),
        stack=_pod_names,
    ),
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
