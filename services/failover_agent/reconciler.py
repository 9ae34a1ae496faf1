"""Makes one Alertmanager follow the desired state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from services.failover_agent.alertmanager import Alertmanager, AlertmanagerError
from services.failover_agent.notification_gate import DesiredState, NotificationGate
from services.failover_agent.silences import (
    CreateSilence,
    StoredSilence,
    body,
    handed_over,
    operator_silences,
    silenced,
    steps,
)
from services.regions.records import Silence
from services.runtime.periodic import DedupLogger


class AlertmanagerReconciler:
    """Polls one Alertmanager, and changes it where it is not as it should be.

    Args:
        alertmanager: It, for this thread alone.
        region: Whose failover agent this is.
        gate: Knows what is wanted.
        changed: Called when it fell silent, or tells again.
        log: Hears of that.
        problems: Hears of what goes wrong.

    Attributes:
        name: Host and port.
        silenced: Whether the failover agent's silence held at the last poll that succeeded; None before the first.
        applied: Number of what was wanted and is so; 0 before the first.
        errors: Polls that failed.
        operator_silences: Silences of people at the last poll.
        handed_over: Silences handed over at the last poll, by id.
    """

    def __init__(
        self,
        alertmanager: Alertmanager,
        region: str,
        gate: NotificationGate,
        changed: Callable[[], None],
        log: Callable[[str], None],
        problems: DedupLogger,
    ) -> None:
        self.name = alertmanager.name
        self.silenced: bool | None = None
        self.applied = self.errors = 0
        self.operator_silences: Sequence[Silence] = ()
        self.handed_over: Mapping[str, Silence] = {}
        self._alertmanager, self._region, self._gate = alertmanager, region, gate
        self._changed, self._log, self._problems = changed, log, problems

    def poll(self) -> None:
        """Poll once, and do what is wanted; log a failure once while it lasts."""
        wanted = self._gate.wanted()
        problem = ""
        try:
            held = self._alertmanager.silences()
            if wanted is not None and (wanted.firm or wanted.number != self.applied):
                held = self._apply(wanted, held)
            self._keep(held)
        except AlertmanagerError as error:
            self.errors += 1
            problem = str(error)
        self._problems.report(self.name, problem)

    def _apply(self, wanted: DesiredState, held: list[StoredSilence]) -> list[StoredSilence]:
        todo = steps(held, silent=wanted.silent, now=datetime.now(UTC))
        for step in todo:
            if isinstance(step, CreateSilence):
                self._alertmanager.silence(body(step, self._region))
            else:
                # Another member's end of it may have come here first: what counts is what is there afterwards.
                with suppress(AlertmanagerError):
                    self._alertmanager.end(step.id)
        if todo:
            held = self._alertmanager.silences()
        if silenced(held) is not wanted.silent:
            self._keep(held)
            raise AlertmanagerError(f"{self.name}: is still {'not silent' if wanted.silent else 'silent'}")
        self.applied = wanted.number
        return held

    def _keep(self, held: Sequence[StoredSilence]) -> None:
        self.operator_silences, self.handed_over = operator_silences(held), handed_over(held)
        now = silenced(held)
        if now is not self.silenced:
            self.silenced = now
            self._log(f"{self.name}: {'silent about telemetry' if now else 'tells about telemetry'}")
            self._changed()
