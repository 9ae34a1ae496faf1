"""The cluster that a stack is for: asked who it is before the program makes anything, in previews too."""

from __future__ import annotations

import os

import pulumi

from components.cluster import NEW_ROLE, ROLE_ANNOTATION, UnreachableError, cluster_uid, config_map, namespace
from components.kafka.config import BROKERS
from stacks.part_settings import Cluster
from stacks.settings import CONFIG_NAMESPACE, ROLE_KEY, Role, SettingsError


def identified(cluster: Cluster, file: str) -> dict[str, str | None]:
    """Context and UID of the cluster, for the stack's outputs.

    A preview goes on without an answer, since it changes nothing; its UID is then null.

    Args:
        cluster: What the stack file says.
        file: Name of the stack file, for messages.

    Raises:
        SettingsError: It is another cluster than the stack file names, or gives no answer to an update.
    """
    context = f"the context {cluster.context}"
    try:
        uid = cluster_uid(cluster.context)
    except UnreachableError as error:
        problem = f"{file}: {context} leads to no cluster that could be asked for its identity ({error})"
        if not pulumi.runtime.is_dry_run():
            raise SettingsError(f"{problem}: nothing was changed; set KUBECONFIG or settings.cluster.context") from None
        pulumi.log.warn(f"{problem}: an update would stop here")
        return {"context": cluster.context, "uid": None}
    if cluster.uid not in (None, uid):
        raise SettingsError(
            f"{file}: settings.cluster.uid is {cluster.uid}, but {context} leads to the cluster {uid}: nothing was "
            "changed; select the other stack or kubeconfig, or, where this is the right cluster, run `python -m ops "
            f"config set-cluster --file {file} --context {cluster.context} --replace`"
        )
    return {"context": cluster.context, "uid": uid}


def check_role(cluster: Cluster, place: str, role: Role, file: str) -> None:
    """Refuse to change a region's role from a checkout that a failover has passed by.

    Args:
        cluster: What the stack file says; it was identified before.
        place: The platform's namespace, which has the role in an annotation.
        role: What the stack file says.
        file: Its name, for messages.

    Raises:
        SettingsError: The region has the other role, and no failover or failback changes it.
    """
    try:
        there = namespace(cluster.context, place) or {}
    except UnreachableError as error:
        raise SettingsError(f"{file}: the namespace {place} could not be read ({error}): nothing was changed") from None
    deployed = (there.get("metadata", {}).get("annotations") or {}).get(ROLE_ANNOTATION)
    if deployed not in (None, str(role)) and os.environ.get(NEW_ROLE) != str(role):
        raise SettingsError(
            f"{file}: {CONFIG_NAMESPACE}:{ROLE_KEY} is {role}, but this region was made {deployed}, by a failover or "
            f"failback whose stack file this checkout lacks: nothing was changed; run `pulumi config set "
            f"{CONFIG_NAMESPACE}:{ROLE_KEY} {deployed}` and commit it; roles are changed by `ops failover` and "
            f"`ops failback` (by hand: {NEW_ROLE}={role})"
        )


def check_quorum(cluster: Cluster, place: str, controllers: int, file: str) -> None:
    """Refuse to change who votes in a Kafka that was made: its quorum is written into the volumes of its voters.

    Args:
        cluster: What the stack file says; it was identified before.
        place: The platform's namespace.
        controllers: Dedicated controllers that the stack file says; 0: the brokers vote.
        file: Its name, for messages.

    Raises:
        SettingsError: The Kafka that is there has other voters, or could not be asked for them.
    """
    try:
        there = config_map(cluster.context, place, BROKERS) or {}
    except UnreachableError as error:
        raise SettingsError(
            f"{file}: the ConfigMap {BROKERS} of {place} could not be read ({error}): nothing was changed"
        ) from None
    first = str((there.get("data") or {}).get("server-0.properties", ""))
    properties = dict(line.partition("=")[::2] for line in first.splitlines())
    roles, voters = properties.get("process.roles"), properties.get("controller.quorum.bootstrap.servers", "")
    if roles is None:
        return
    present = 0 if "controller" in roles.split(",") else len(voters.split(","))
    if present != controllers:
        raise SettingsError(
            f"{file}: Kafka is to have {controllers} dedicated controllers (settings.kafka.controllers, or the "
            f"profile's), but that of {place} was made with {present}, and a quorum stays as it was made: nothing was "
            f"changed; set settings.kafka.controllers to {present}, or make another platform and move to it "
            "(docs/operations/brokers.md)"
        )


def check_apart(own: Cluster, namespace: str, other: object, other_namespace: object, stack: str) -> None:
    """Refuse two regions that are one: the same namespace of the same cluster.

    Args:
        own: This region's cluster.
        namespace: This region's namespace.
        other: The output ``cluster`` of the other region's stack, or nothing before it is there.
        other_namespace: Its output ``namespace``.
        stack: Its full name.

    Raises:
        SettingsError: They are the same.
    """
    uid = other.get("uid") if isinstance(other, dict) else None
    if own.uid is not None and (own.uid, namespace) == (uid, other_namespace):
        raise SettingsError(
            f"settings.cluster.uid is {own.uid}, and so is that of {stack}, in the same namespace {namespace}: allowed "
            "is a cluster of its own for each region; name this region's"
        )
