"""What is missing or wrong in a stack's configuration, read by the same code as in an update, without Pulumi; and what
a stack does not promise since its file leaves something out: one line each, for previews and checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import pulumi
from pulumi.runtime import set_all_config
from pulumi.runtime.settings import Settings as Runtime
from pulumi.runtime.settings import configure

from components.alerting.escalation import LEVELS
from components.alertmanager import receivers
from components.storage_roles import StorageRole
from stacks import kafka_quotas, secrets, settings
from stacks.settings import Settings, SettingsError

_NOT_BACKED_UP: Final = "the search cluster is not backed up: Kafka has its traces and logs for days only"


def not_promised(settings: Settings) -> list[str]:
    """One line for each promise that the settings leave out, with the key that leaves it out."""
    return [f"settings.{key}: {line}" for key, line in _lines(settings)]


def _lines(settings: Settings) -> Iterator[tuple[str, str]]:
    alerting = settings.alerting
    for line in receivers.not_promised(alerting.reached, LEVELS):
        yield "alerting.contacts", line
    if not alerting.heartbeat:
        yield "alerting.heartbeat", "nobody is told when the whole platform is down (requirement D4)"
    if settings.cluster.state is None:
        yield (
            "cluster.state",
            "nobody is told of pods that wait or restart, nodes that are not ready, jobs that fail and autoscalers at "
            "their maximum (requirements G4, S1)",
        )
    elif settings.cluster.state == "namespace":
        yield "cluster.state", "nobody is told of nodes that are not ready or under pressure (requirement G4)"
    if settings.cluster.kubelets is None:
        yield (
            "cluster.kubelets",
            "nobody is told how full volumes are, but for what servers say of their own data (requirements G4, M2)",
        )
    if settings.reports.recipients is None:
        yield "reports.recipients", "reports are stored and mailed to nobody (requirement R1)"
    if settings.grafana.ldap is None and settings.grafana.oidc is None:
        yield "grafana.ldap", "Grafana has one account, its administrator's, and no roles (requirement G5)"
    if settings.traces.identity is None:
        yield "traces.identity", "traces have no pages and no clearances of their own (requirement J3)"
    if settings.sign_in is None:
        yield (
            "sign_in",
            "people share a login of metrics and one of alerts: the audit log does not know who asked, or who silenced "
            "(requirement M1)",
        )
    if shared := set(StorageRole) - set(settings.object_storage.roles):
        yield (
            "object_storage.roles",
            f"{len(shared)} of {len(StorageRole)} roles share a key of the object storage: whoever takes over one of "
            "their pods can remove every backup (requirement D1)",
        )
    if settings.object_storage.encryption is None:
        yield (
            "object_storage.encryption",
            "the object storage is not asked to encrypt blocks of metrics: they are as safe at rest as the bucket is "
            "(requirement D1)",
        )
    if settings.backups.search is None:
        yield "backups.search", f"{_NOT_BACKED_UP} (requirement D1)"
    if settings.audit.cluster is None:
        yield (
            "audit.cluster",
            "who changed what in the namespace without `ops` is not in the audit log (requirement M1)",
        )
    if settings.regions.peer is None:
        key = "regions.peer" if settings.regions.witness else "regions.witness"
        yield key, "nothing takes over when this region is gone (requirements D2, D3)"


def problems(stack: str, configuration: Mapping[str, str], encrypted: Collection[str] = ()) -> list[str]:
    """One line for all that an update would stop at.

    Args:
        stack: Name of the stack, for messages.
        configuration: Key with its namespace -> value, as Pulumi hands it to the program.
        encrypted: Keys whose value is there and cannot be read: only that they are there counts.
    """
    chosen, lines = read(stack, configuration)
    if chosen is None:
        return lines
    for secret in secrets.needed(chosen):
        if f"{settings.CONFIG_NAMESPACE}:{secret.key}" not in encrypted:
            lines += _refused(secret.read)
    return lines


def left_out(stack: str, configuration: Mapping[str, str]) -> list[str]:
    """One line for each promise that the settings leave out; none where they are refused.

    Args:
        stack: Name of the stack.
        configuration: As `problems` takes it.
    """
    chosen, _ = read(stack, configuration)
    return not_promised(chosen) if chosen else []


def read(stack: str, configuration: Mapping[str, str]) -> tuple[Settings | None, list[str]]:
    """The settings, or None where they are refused, and one line a mistake of settings and role.

    Args:
        stack: Name of the stack.
        configuration: As `problems` takes it.
    """
    configure(Runtime(project=settings.CONFIG_NAMESPACE, stack=stack, dry_run=False))
    set_all_config(dict(configuration))
    chosen: list[Settings] = []
    lines = _refused(lambda: chosen.append(settings.load()))
    lines += _refused(settings.role)
    lines += _refused(lambda: kafka_quotas.quotas(chosen[0])) if chosen else []
    return (chosen[0] if chosen else None), lines


def _refused(reader: Callable[[], object]) -> list[str]:
    """The lines with which something is refused; none where it is taken."""

    async def run() -> list[str]:
        try:
            reader()
        except SettingsError as error:
            return str(error).splitlines()
        return []

    try:
        # Outputs, which secrets become, belong to a loop that runs.
        return asyncio.run(run())
    finally:
        pulumi.runtime.settings.SETTINGS.outputs.clear()
