"""One Alertmanager that follows what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from services.region_guard.alertmanager import Alertmanager, AlertmanagerError
from services.region_guard.judging import Judging, Wanted
from services.region_guard.rounds import News
from services.region_guard.silences import Held, Make, body, carried, peoples, silenced, steps
from services.regions.records import Silence


class Member:
    """Looks at one Alertmanager, and changes it where it is not as it should be.

    Args:
        alertmanager: It, for this thread alone.
        region: Whose guard this is.
        judging: Knows what is wanted.
        changed: Called when it fell silent, or tells again.
        log: Hears of that.
        news: Hears of what goes wrong.

    Attributes:
        name: Host and port.
        silenced: Whether the guard's silence held at the last look that succeeded; None before the first.
        applied: Number of what was wanted and is so; 0 before the first.
        errors: Looks that failed.
        peoples: Silences of people at the last look.
        carried: Carried silences at the last look, by id.
    """

    def __init__(
        self,
        alertmanager: Alertmanager,
        region: str,
        judging: Judging,
        changed: Callable[[], None],
        log: Callable[[str], None],
        news: News,
    ) -> None:
        self.name = alertmanager.name
        self.silenced: bool | None = None
        self.applied = self.errors = 0
        self.peoples: Sequence[Silence] = ()
        self.carried: Mapping[str, Silence] = {}
        self._alertmanager, self._region, self._judging = alertmanager, region, judging
        self._changed, self._log, self._news = changed, log, news

    def look(self) -> None:
        """Look once, and do what is wanted; a failure is told when it is news."""
        wanted = self._judging.wanted()
        problem = ""
        try:
            held = self._alertmanager.silences()
            if wanted is not None and (wanted.firm or wanted.number != self.applied):
                held = self._apply(wanted, held)
            self._keep(held)
        except AlertmanagerError as error:
            self.errors += 1
            problem = str(error)
        self._news.tell(self.name, problem)

    def _apply(self, wanted: Wanted, held: list[Held]) -> list[Held]:
        todo = steps(held, silent=wanted.silent, now=datetime.now(UTC))
        for step in todo:
            if isinstance(step, Make):
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

    def _keep(self, held: Sequence[Held]) -> None:
        self.peoples, self.carried = peoples(held), carried(held)
        now = silenced(held)
        if now is not self.silenced:
            self.silenced = now
            self._log(f"{self.name}: {'silent about telemetry' if now else 'tells about telemetry'}")
            self._changed()
