"""What is outside the clusters in the lab: receivers of notifications, directory, identity provider, object storage,
registry of images.
"""

from __future__ import annotations

from typing import Any

from lab import directory, environment, registry, storage
from lab.cluster import node
from lab.cluster.network import Daemon
from lab.fakes.identity import setup as identity
from lab.fakes.receivers import setup as receivers
from lab.paths import LabPaths
from lab.timing import Steps


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing; the receivers' authority signs for the others.

    Raises:
        LabError: A server is not there, or refuses what it is given.
    """
    receivers.prepare(paths)
    directory.prepare(paths)
    identity.prepare(paths)
    storage.prepare(paths)
    registry.prepare(paths)


def daemons(paths: LabPaths) -> tuple[Daemon, ...]:
    """Their processes, inside the lab's network namespace."""
    return tuple(part.daemon(paths) for part in (receivers, directory, identity, storage, registry))


def wait_ready(paths: LabPaths, steps: Steps) -> None:
    """Wait until each can be used; works inside the lab's network namespace.

    Raises:
        LabError: One ended, or does not answer in time; the message carries the end of its log.
    """
    with steps.step("receivers outside the platform"):
        receivers.wait_ready(paths)
    with steps.step("directory, identity provider and object storage outside the platform"):
        directory.wait_ready(paths)
        identity.wait_ready(paths)
        storage.wait_ready(paths)


def secrets(paths: LabPaths, stack: str = environment.STACK) -> dict[str, dict[str, Any]]:
    """Configuration key -> what a stack of the lab needs to reach them.

    Args:
        paths: The lab.
        stack: One of `lab.environment.STACKS`.

    Raises:
        LabError: Files are not there: no lab.
    """
    return {
        environment.ALERTING_SECRETS: receivers.alerting_secrets(paths),
        environment.DIRECTORY_SECRETS: directory.directory_secrets(paths),
        environment.IDENTITY_SECRETS: identity.identity_secrets(paths),
        environment.OBJECT_STORAGE_SECRETS: storage.storage_secrets(paths, second=stack == environment.SECOND_STACK),
        environment.BACKUP_RECIPIENTS: storage.backup_recipients(paths),
        environment.WITNESS_SECRETS: storage.witness_secrets(paths),
        environment.CLUSTER_AUDIT_SECRETS: dict(node.audit_webhook_secrets(environment.cluster_paths(paths, stack))),
    }
