"""What is missing or wrong in a stack's configuration, read by the same code as in an update, without Pulumi."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

import pulumi
from pulumi.runtime import set_all_config
from pulumi.runtime.settings import Settings as Runtime
from pulumi.runtime.settings import configure

from stacks import kafka_quotas, promises, secrets, settings
from stacks.settings import Settings, SettingsError


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


def not_promised(stack: str, configuration: Mapping[str, str]) -> list[str]:
    """One line for each promise that the settings leave out; none where they are refused.

    Args:
        stack: Name of the stack.
        configuration: As `problems` takes it.
    """
    chosen, _ = read(stack, configuration)
    return promises.not_promised(chosen) if chosen else []


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
