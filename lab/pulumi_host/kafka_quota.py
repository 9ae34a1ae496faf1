"""``kafka:index/quota:Quota``: what a user, a client id or an address may take of each broker.

As upstream, a quota does not change in place: every changed input replaces it, and the new one is made before the old
one is removed. Both have the same name, so a program that does not ask for ``delete_before_replace`` loses the quota.
"""

from __future__ import annotations

import math
from typing import ClassVar, Final

from lab.pulumi_host.kafka_client import Brokers
from lab.pulumi_host.provider import Handler, Properties, ProviderError, Refusal

_KINDS: Final = ("client-id", "user", "ip")


class Quota(Handler):
    """One entity's quotas; the id is ``name|type``, as upstream's import lines have it."""

    resource_type: ClassVar[str] = "kafka:index/quota:Quota"
    inputs: ClassVar[frozenset[str]] = frozenset({"entityName", "entityType", "config"})
    # Upstream takes a quota without a name as that of everybody who has none: not needed here.
    required: ClassVar[frozenset[str]] = frozenset({"entityName", "entityType"})
    replace_on: ClassVar[frozenset[str]] = inputs

    def __init__(self, brokers: Brokers) -> None:
        """Keep quotas on ``brokers``."""
        self._brokers = brokers

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        kind, config = inputs["entityType"], inputs.get("config")
        refusals = []
        if isinstance(kind, str) and kind not in _KINDS:
            refusals.append(Refusal("entityType", f"is {kind}; allowed: {', '.join(_KINDS)}"))
        if isinstance(config, dict):
            refusals += [
                Refusal("config", f"{key} is {value}; it must be a number")
                for key, value in sorted(config.items())
                if isinstance(value, str) and _number(value) is None
            ]
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        kind, name = str(inputs["entityType"]), str(inputs["entityName"])
        wanted = {key: float(value) for key, value in (inputs.get("config") or {}).items()}
        self._brokers.ask_quotas(
            f"create quota {name}|{kind}", lambda admin: admin.set_quotas(kind, name, dict(wanted))
        )
        # Upstream waits as long: a quota without any value is never seen.
        self._brokers.until(
            f"wait for quota {name}|{kind}",
            lambda admin: admin.quotas(kind).get(name, {}).keys() >= wanted.keys() > set(),
            self._brokers.ask_quotas,
        )
        return f"{name}|{kind}", inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        name, kind = _parse(identity)
        values = self._brokers.ask_quotas(f"read quota {identity}", lambda admin: admin.quotas(kind).get(name))
        if not values:
            return None
        seen = {"entityName": name, "entityType": kind, "config": {key: _text(value) for key, value in values.items()}}
        return seen, seen

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        raise ProviderError(f"quota {identity} cannot change in place: every input replaces it")

    def delete(self, identity: str, state: Properties) -> None:
        name, kind = _parse(identity)
        keys = (state.get("config") or {}).keys()
        self._brokers.ask_quotas(
            f"delete quota {identity}", lambda admin: admin.set_quotas(kind, name, dict.fromkeys(keys))
        )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _parse(identity: str) -> tuple[str, str]:
    name, _, kind = identity.rpartition("|")
    if not name or kind not in _KINDS:
        raise ProviderError(f'quota id {identity} is not like "name|{"|".join(_KINDS)}"')
    return name, kind
