"""Tries at the Kubernetes API: SubjectAccessReviews for each ServiceAccount; nothing but the question is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ops.drills.access_tries import Answer, Try
from ops.permissions.model import ANY, ServiceAccount

PART: Final = "Kubernetes API"
VERBS: Final = ("get", "list", "create", "delete")
RESOURCES: Final = (
    ("", "secrets"),
    ("", "configmaps"),
    ("", "pods"),
    ("", "pods/exec"),
    ("", "pods/log"),
    ("", "serviceaccounts/token"),
    ("", "nodes"),
    ("", "namespaces"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("networking.k8s.io", "networkpolicies"),
    ("cert-manager.io", "certificates"),
)
"""API group and resource of what could do harm; all of them are tried with each verb, in the platform's namespace."""

CLUSTER_WIDE: Final = frozenset({"nodes", "namespaces", "clusterrolebindings"})
"""Resources that belong to no namespace."""

Reviewer = Callable[[str, str, str, str], bool]
"""ServiceAccount, verb, API group, resource -> whether the API server would allow it."""


def allowed(account: ServiceAccount, verb: str, group: str, resource: str) -> bool:
    """Whether the roles of a ServiceAccount allow it something; a rule about some names allows it for these only."""
    return any(
        {verb, ANY} & set(rule.verbs)
        and {group, ANY} & set(rule.groups)
        and {resource, ANY} & set(rule.resources)
        and not rule.names
        for rule in account.rules
    )


def tries(account: ServiceAccount, review: Reviewer) -> Iterator[Try]:
    """Everything that could do harm, and what the account's own rules allow."""
    own = {
        (group, resource, verb)
        for rule in account.rules
        if not rule.names
        for group in rule.groups
        for resource in rule.resources
        for verb in rule.verbs
        if ANY not in (group, resource, verb)
    }
    common = {(group, resource, verb) for group, resource in RESOURCES for verb in VERBS}
    for group, resource, verb in sorted(common | own):
        yield Try(
            part=PART,
            login=account.name,
            what=f"{verb} {resource}{f'.{group}' if group else ''}",
            allowed=allowed(account, verb, group, resource),
            answer=Answer.LET_IN if review(account.name, verb, group, resource) else Answer.REFUSED,
        )
