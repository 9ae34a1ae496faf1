"""Silences as Alertmanager keeps them, and what has to be done about them: nothing here talks to a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.regions.silences import FAILOVER_AGENT, HANDOVER_AUTHOR, MATCHER, REGION_AUTHORS
from services.regions.witness import Silence, SilenceMatcher

LENGTH = timedelta(days=30)
"""How long the failover agent's silence lasts when nobody renews it."""
_RENEWED_UNDER = timedelta(days=29)
_START_MARGIN = timedelta(minutes=10)
"""A new silence is said to have begun this long ago, so that it counts at once when clocks differ: Alertmanager takes
its own present instead."""
ACTIVE, PENDING = "active", "pending"


@dataclass(frozen=True, kw_only=True)
class StoredSilence:
    """A silence, and its state: ``active``, ``pending`` or ``expired``."""

    state: str
    silence: Silence

    @property
    def lasting(self) -> bool:
        """Whether it has not ended."""
        return self.state in (ACTIVE, PENDING)

    @property
    def author(self) -> str:
        """Who made it."""
        return self.silence.created_by


@dataclass(frozen=True, kw_only=True)
class CreateSilence:
    """Make the failover agent's silence, or let the one of this id last longer."""

    ends: datetime
    id: str | None
    starts: datetime


@dataclass(frozen=True, kw_only=True)
class ExpireSilence:
    """End a silence."""

    id: str


def silenced(held: Iterable[StoredSilence]) -> bool:
    """Whether the failover agent's silence holds."""
    return bool(_agent_silences(held))


def steps(held: Sequence[StoredSilence], *, silent: bool, now: datetime) -> list[CreateSilence | ExpireSilence]:
    """What to do so that the failover agent's silence holds, or no longer does; nothing when all is as it should be."""
    if not silent:
        return [
            ExpireSilence(id=silence_held.silence.id)
            for silence_held in held
            if silence_held.author == FAILOVER_AGENT and silence_held.lasting
        ]
    longest = max(_agent_silences(held), key=lambda agent_silence: agent_silence.ends_at, default=None)
    if longest is None:
        return [CreateSilence(ends=now + LENGTH, id=None, starts=now - _START_MARGIN)]
    if longest.ends_at - now < _RENEWED_UNDER:
        return [CreateSilence(ends=now + LENGTH, id=longest.id, starts=longest.starts_at)]
    return []


def body(step: CreateSilence, region: str) -> dict[str, Any]:
    """What Alertmanager's API is sent for a step."""
    return {
        **({"id": step.id} if step.id else {}),
        "matchers": [dict(MATCHER)],
        "startsAt": step.starts.isoformat(),
        "endsAt": step.ends.isoformat(),
        "createdBy": FAILOVER_AGENT,
        "comment": f"{region} does not hold the lease of the regions: the other one notifies about telemetry. "
        "Ends by itself when the lease comes here; see `ops regions`.",
    }


def operator_silences(held: Iterable[StoredSilence]) -> list[Silence]:
    """What people silenced and acknowledged, and has not ended."""
    return [
        silence_held.silence
        for silence_held in held
        if silence_held.lasting and silence_held.author not in REGION_AUTHORS
    ]


def handed_over(held: Iterable[StoredSilence]) -> dict[str, Silence]:
    """Id -> silence of an alert that the other region has told."""
    return {
        silence_held.silence.id: silence_held.silence
        for silence_held in held
        if silence_held.lasting and silence_held.author == HANDOVER_AUTHOR
    }


def matches(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels is kept quiet by a silence; a label that is not there is empty."""
    return all(_met(matcher, labels.get(matcher.name, "")) for matcher in silence.matchers)


def _met(matcher: SilenceMatcher, value: str) -> bool:
    if not matcher.is_regex:
        return (value == matcher.value) is matcher.is_equal
    try:
        return (re.fullmatch(matcher.value, value) is not None) is matcher.is_equal
    except re.error:
        # Alertmanager's expressions know a few words that Python's do not: then the silence is better kept.
        return True


def _agent_silences(held: Iterable[StoredSilence]) -> list[Silence]:
    wanted = (SilenceMatcher(name="layer", value=".+", is_regex=True, is_equal=True),)
    return [
        silence_held.silence
        for silence_held in held
        if silence_held.author == FAILOVER_AGENT
        and silence_held.state == ACTIVE
        and silence_held.silence.matchers == wanted
    ]
