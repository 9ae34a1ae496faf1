"""Passwords: made by the program, kept in state (encrypted) and in Secrets, never anywhere else."""

from __future__ import annotations

import pulumi
import pulumi_random

from components import naming
from components.contracts import Credential, ScrapeTarget
from components.k8s.deployment_context import DeploymentContext


def credential(parent: pulumi.Resource, *, name: str, username: str) -> Credential:
    """A random password of 32 letters and digits for a user.

    Args:
        parent: Component that owns the user.
        name: Resource name; unique in the platform, since it decides whether the password is kept.
        username: Login name.
    """
    password = pulumi_random.RandomPassword(name, length=32, special=False, opts=pulumi.ResourceOptions(parent=parent))
    return Credential(
        username=username,
        password=pulumi.Output.secret(password.result),
        bcrypt=pulumi.Output.secret(password.bcrypt_hash),
    )


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
