"""What a workload may do at the API server; all others may do nothing there, and have no token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.k8s.deployment_context import DeploymentContext
from components.k8s.pods import metadata

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
