"""Accesses that are unlike those that came before: by somebody new, from a new network, at a new hour."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final

from services.audit.records import UNKNOWN, AuditRecord, Outcome

LEAST_KNOWN: Final = 20
"""Accesses of somebody that have to be known before an hour at which there was none says anything."""
_PREFIXES: Final = {4: 24, 6: 64}
_HOURS: Final = 24
_NEAR: Final = 1


class Reason(StrEnum):
    """What is unusual about an access."""

    NETWORK = "network"
    HOUR = "hour"


@dataclass(frozen=True, kw_only=True)
class Unusual:
    """An access, and what is unusual about it."""

    record: AuditRecord
    reason: Reason


def network_of(origin: str) -> str:
    """The network of an address (/24, /64), or the machine's name as it is."""
    try:
        address = ipaddress.ip_address(origin)
    except ValueError:
        return origin
    return str(ipaddress.ip_network((address, _PREFIXES[address.version]), strict=False))


def unusual(records: Iterable[AuditRecord], since: datetime, zone: tzinfo) -> list[Unusual]:
    """Accesses since a moment that differ from all of the same person before them; each novelty once.

    Args:
        records: By their time; those before ``since`` are what is known.
        since: Begin of what is looked at.
        zone: Time zone of the hours.
    """
    networks: dict[str, set[str]] = defaultdict(set)
    hours: dict[str, list[int]] = defaultdict(list)
    strange: list[Unusual] = []
    for record in records:
        if record.who == UNKNOWN or record.outcome not in (Outcome.ALLOWED, Outcome.FAILED):
            continue
        network, hour = network_of(record.origin), record.time.astimezone(zone).hour
        known_networks, known_hours = networks[record.who], hours[record.who]
        if record.time >= since:
            if known_networks and network not in known_networks:
                strange.append(Unusual(record=record, reason=Reason.NETWORK))
            if len(known_hours) >= LEAST_KNOWN and all(_apart(hour, known) > _NEAR for known in set(known_hours)):
                strange.append(Unusual(record=record, reason=Reason.HOUR))
        known_networks.add(network)
        known_hours.append(hour)
    return strange


def _apart(hour: int, other: int) -> int:
    distance = abs(hour - other)
    return min(distance, _HOURS - distance)
