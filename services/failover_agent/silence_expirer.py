"""Ends handed-over silences of alerts that are over, so that the next time they fire they are told again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from services.failover_agent.alertmanager import Alertmanager, AlertmanagerError
from services.failover_agent.silences import handed_over, matches
from services.regions.records import Silence

EVERY_S = 15.0
_LEAST_AGE_S = 120.0
_LEAST_UP_S = 60.0
"""An Alertmanager that runs for less may not have been sent every alert yet: Prometheus repeats them within 40 s."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    alertmanager: Alertmanager
    handed_over: Mapping[str, Silence]
    alerts: Sequence[Mapping[str, str]]


def over(silences: Iterable[Silence], alerts: Sequence[Mapping[str, str]]) -> set[str]:
    """Ids of the silences that no alert meets."""
    return {silence.id for silence in silences if not any(matches(silence, labels) for labels in alerts)}


class SilenceExpirer:
    """Polls alerts and handed-over silences; expires what is over in two polls in a row.

    Args:
        alertmanagers: Every member, for this thread alone.
        least_age_s: How old a silence must be.
        least_up_s: For how long a member must have been running to count.
    """

    def __init__(
        self,
        alertmanagers: Sequence[Alertmanager],
        *,
        least_age_s: float = _LEAST_AGE_S,
        least_up_s: float = _LEAST_UP_S,
    ) -> None:
        self._alertmanagers = alertmanagers
        self._least_age_s, self._least_up_s = least_age_s, least_up_s
        self._over: set[str] = set()

    def poll(self) -> None:
        """Poll once. A member that does not answer is left out: its own polls show that."""
        answers = [answer for alertmanager in self._alertmanagers if (answer := self._ask(alertmanager)) is not None]
        alerts = [labels for answer in answers for labels in answer.alerts]
        known = {id: silence for answer in answers for id, silence in answer.handed_over.items()}
        now_over = over(known.values(), alerts)
        now = datetime.now(UTC)
        for id in now_over & self._over:
            if (now - known[id].starts_at).total_seconds() >= self._least_age_s:
                _end(id, answers)
        self._over = now_over

    def _ask(self, alertmanager: Alertmanager) -> _Answer | None:
        try:
            if alertmanager.up_s() < self._least_up_s:
                return None
            silences = handed_over(alertmanager.silences())
            return _Answer(alertmanager=alertmanager, handed_over=silences, alerts=alertmanager.alerts())
        except AlertmanagerError:
            return None


def _end(id: str, answers: Iterable[_Answer]) -> None:
    for answer in answers:
        if id in answer.handed_over:
            # It may have ended there already, through the other member.
            with suppress(AlertmanagerError):
                answer.alertmanager.end(id)
