"""When alerts ended, from ``alerts-raw``: what each Prometheus said of them, silenced or not.

Alertmanager notifies nobody of the end of an alert that is silenced, and an acknowledgement is a silence; so
``alerts-processed`` alone does not have it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from services.alert_events.events import RawEvent

_SLACK_S = 60.0
"""Two Prometheus see a begin or an end at different evaluations."""


@dataclass(frozen=True, kw_only=True)
class Firing:
    """A time that an alert fired, whichever Prometheus said so; ``ended`` is None while one still does."""

    started: float
    ended: float | None

    def covers(self, moment: float) -> bool:
        """Whether an alert that began at a moment began with this."""
        return self.started - _SLACK_S <= moment and (self.ended is None or moment <= self.ended + _SLACK_S)


Firings = Mapping[str, tuple[Firing, ...]]
"""Fingerprint -> its firings, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """The last that a Prometheus said of a firing: it ended then, or it is over if not repeated until then."""

    resolved: bool
    until: float | None


class FiringReader:
    """Takes records in the order of the topic and keeps the last state of each firing only."""

    def __init__(self, identities: Collection[str]) -> None:
        """Keep what is about these alerts."""
        self._keys = frozenset(identity.encode() for identity in identities)
        self._states: dict[tuple[str, str, float], _State] = {}
        self._newest = 0.0

    def take(self, key: bytes | None, value: bytes | None, at: float) -> None:
        """Take a record that was written at ``at``, seconds since 1970; what cannot be read says nothing."""
        self._newest = max(self._newest, at)
        if key not in self._keys:
            return
        try:
            event = RawEvent.model_validate_json(value or b"")
        except ValidationError:
            return
        resolved = event.status == "resolved"
        until = event.ends_at if resolved else event.valid_until
        self._states[event.sender, event.fingerprint, event.starts_at.timestamp()] = _State(
            resolved=resolved, until=until.timestamp() if until else None
        )

    def firings(self) -> Firings:
        """All firings; times of two Prometheus that meet are one."""
        spans: dict[str, list[Firing]] = defaultdict(list)
        for (_, fingerprint, started), state in self._states.items():
            # The alert that always fires keeps the topic moving: who is behind its newest record is gone.
            over = state.until is not None and (state.resolved or state.until + _SLACK_S < self._newest)
            spans[fingerprint].append(Firing(started=started, ended=state.until if over else None))
        return {fingerprint: _merged(those) for fingerprint, those in spans.items()}


def _merged(spans: list[Firing]) -> tuple[Firing, ...]:
    merged: list[Firing] = []
    for span in sorted(spans, key=lambda one: one.started):
        last = merged[-1] if merged else None
        if last is None or (last.ended is not None and last.ended < span.started):
            merged.append(span)
        elif last.ended is not None:
            ended = None if span.ended is None else max(last.ended, span.ended)
            merged[-1] = Firing(started=last.started, ended=ended)
    return tuple(merged)
