"""Certificates of workloads, issued and renewed by cert-manager, and passwords; and what a workload may do at the API
server: all others may do nothing there, and have no token.

Passwords are made by the program, kept in state (encrypted) and in Secrets, never anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random
from pulumi_kubernetes.apiextensions import CustomResource

from components import naming
from components.contracts import Credential, PersonalLogin, ScrapeTarget, TlsIdentity
from components.k8s.deployment_context import DeploymentContext
from components.k8s.pods import metadata

API = "cert-manager.io/v1"


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """One entry of a Secret."""

    name: pulumi.Input[str]
    key: str


def certificate(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    services: Sequence[str] = (),
    hosts: Sequence[str] = (),
    addresses: Sequence[str | None] = (),
    keystore_password: SecretKey | None = None,
) -> TlsIdentity:
    """The one certificate of a workload, for serving and for calling, in Secret ``<workload>-tls``.

    It is valid for the workload's Service and for each pod of its headless Service, in every short form.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: Workload it belongs to; also its common name.
        services: Further Services of the workload.
        hosts: Further host names, for example those of load balancers.
        addresses: Further IP addresses, None for one that is not known; what is among ``hosts`` too is no name.
        keystore_password: Also write ``keystore.p12``, for Java programs that read nothing else, with this password.
    """
    secret = f"{workload}-tls"
    resource = CustomResource(
        f"{workload}-certificate",
        api_version=API,
        kind="Certificate",
        metadata=metadata(context, workload, workload),
        spec={
            "secretName": secret,
            "commonName": workload,
            "dnsNames": dns_names(context, workload, services, [host for host in hosts if host not in addresses]),
            "ipAddresses": list(dict.fromkeys(["127.0.0.1", *filter(None, addresses)])),
            "duration": context.certificates.duration,
            "renewBefore": context.certificates.renew_before,
            "usages": ["digital signature", "key encipherment", "server auth", "client auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "additionalOutputFormats": [{"type": "CombinedPEM"}],
            **_keystores(keystore_password),
            "issuerRef": {"name": context.issuer, "kind": "Issuer", "group": "cert-manager.io"},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return TlsIdentity(
        workload=workload,
        secret_name=resource.urn.apply(lambda _: secret),
        server_name=context.host(workload),
    )


def _keystores(password: SecretKey | None) -> dict[str, object]:
    """The optional PKCS#12 file."""
    if password is None:
        return {}
    reference = {"name": password.name, "key": password.key}
    return {"keystores": {"pkcs12": {"create": True, "profile": "Modern2023", "passwordSecretRef": reference}}}


def dns_names(
    context: DeploymentContext, workload: str, services: Sequence[str] = (), hosts: Sequence[str] = ()
) -> list[str]:
    """Host names of a workload's certificate, without duplicates, in a stable order."""
    headless = naming.headless(workload)
    names: list[str] = []
    for service in (workload, *services):
        full = context.host(service)
        names += [full, full.removesuffix(f".{context.cluster_domain}"), f"{service}.{context.namespace}", service]
    full = context.host(headless)
    names += [f"*.{full}", full, f"*.{headless}.{context.namespace}.svc", f"*.{headless}", "localhost", *hosts]
    return list(dict.fromkeys(names))


def random_key(parent: pulumi.Resource, name: str) -> pulumi.Output[str]:
    """A random key of 32 letters and digits, as a secret.

    Args:
        parent: Component that owns it.
        name: Resource name; unique in the platform, since it decides whether the key is kept.
    """
    return pulumi.Output.secret(_random(parent, name).result)


def _random(parent: pulumi.Resource, name: str) -> pulumi_random.RandomPassword:
    return pulumi_random.RandomPassword(name, length=32, special=False, opts=pulumi.ResourceOptions(parent=parent))


def credential(parent: pulumi.Resource, *, name: str, username: str) -> Credential:
    """A random password of 32 letters and digits for a user.

    Args:
        parent: Component that owns the user.
        name: Resource name; unique in the platform, since it decides whether the password is kept.
        username: Login name.
    """
    password = _random(parent, name)
    return Credential(
        username=username,
        password=pulumi.Output.secret(password.result),
        bcrypt=pulumi.Output.secret(password.bcrypt_hash),
    )


def personal_login(parent: pulumi.Resource, *, server: str, url: str | None) -> PersonalLogin | None:
    """The login of people's own accounts in front of a server, with a user of its own there; None where it has none.

    Args:
        parent: Component that owns the user's password.
        server: Workload of the server.
        url: Where people reach the login, or None.
    """
    if url is None:
        return None
    return PersonalLogin(url=url, credential=credential(parent, name=f"{server}-people", username="people"))


def scrape_target(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: str,
    port: int,
    *,
    job: str | None = None,
    port_name: str = naming.METRICS_PORT,
) -> ScrapeTarget:
    """A metrics endpoint, with a password that only its scraper has.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
        workload: Workload that serves the metrics.
        port: Where it does.
        job: Prometheus job; the workload's name unless given.
        port_name: Name of the port in the workload's headless Service.
    """
    user = naming.scrape_user(job or workload)
    return ScrapeTarget(
        job=job or workload,
        service=naming.headless(workload),
        namespace=context.namespace,
        srv=context.srv(workload, port_name),
        port=port,
        server_name=context.host(workload),
        credential=credential(parent, name=user, username=user),
    )


_GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Verbs on resources of one API group; the core group has no name."""

    group: str = ""
    resources: Sequence[str]
    verbs: Sequence[str]


def namespace_role(
    parent: pulumi.Resource, context: DeploymentContext, *, workload: str, rules: Sequence[Rule]
) -> k8s.rbac.v1.RoleBinding:
    """A Role, and its binding to the ServiceAccount of the workload; both have its name."""
    granted = k8s.rbac.v1.Role(
        workload,
        metadata=metadata(context, workload, workload),
        rules=[_policy_rule(rule) for rule in rules],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return k8s.rbac.v1.RoleBinding(
        workload,
        metadata=metadata(context, workload, workload),
        role_ref=k8s.rbac.v1.RoleRefArgs(api_group=_GROUP, kind="Role", name=workload),
        subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=workload, namespace=context.namespace)],
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[granted]),
    )


def cluster_role(
    parent: pulumi.Resource, context: DeploymentContext, *, workload: str, rules: Sequence[Rule]
) -> k8s.rbac.v1.ClusterRoleBinding:
    """A ClusterRole for what belongs to no namespace, and its binding; the name of both begins with the namespace."""
    name = f"{context.namespace}-{workload}"
    labels = naming.labels(workload)
    granted = k8s.rbac.v1.ClusterRole(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name, labels=labels),
        rules=[_policy_rule(rule) for rule in rules],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return k8s.rbac.v1.ClusterRoleBinding(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name, labels=labels),
        role_ref=k8s.rbac.v1.RoleRefArgs(api_group=_GROUP, kind="ClusterRole", name=name),
        subjects=[k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=workload, namespace=context.namespace)],
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[granted]),
    )


def _policy_rule(rule: Rule) -> k8s.rbac.v1.PolicyRuleArgs:
    return k8s.rbac.v1.PolicyRuleArgs(api_groups=[rule.group], resources=list(rule.resources), verbs=list(rule.verbs))
