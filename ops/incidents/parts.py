"""What all sections of a report are made with: the record, the evidence, fixed texts, and how times are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ops.incidents import response_clock
from ops.incidents.document import Block, Dial, Heading, Table, Text
from ops.incidents.evidence import Evidence
from ops.incidents.i18n import Texts
from ops.incidents.model import Incident, Phase
from ops.incidents.timefmt import TimeFormat, after


class Parts:
    """Builds parts of the document of one incident.

    Args:
        incident: The record.
        evidence: What was collected.
        now: The moment at which it is written.
        texts: Fixed texts.
        time_format: How times are written.
    """

    def __init__(
        self, incident: Incident, evidence: Evidence, now: datetime, texts: Texts, time_format: TimeFormat
    ) -> None:
        self.incident, self.evidence, self.now, self.texts, self.time_format = (
            incident,
            evidence,
            now,
            texts,
            time_format,
        )
        self.resolved = evidence.resolved or incident.alert.ends

    def dial(self) -> Dial:
        """The clock of the first response."""
        reading = response_clock.read(self.incident, self.now)
        whole = max(1.25, reading.share * 1.05)
        label = "clock." + reading.state.value
        values = {"elapsed": reading.elapsed, "difference": reading.difference}
        return Dial(
            text=self.texts(label, **values),
            state=reading.state.value,
            used=100 * reading.share / whole,
            limit=100 / whole,
            label=self.texts("limit_label"),
        )

    def shown(self, shown: int, total: int | None) -> str:
        """How many of the series are shown."""
        return self.texts("series", shown=shown, total=total if total is not None else shown)

    def part(self, title: str, source: str, table: Table) -> list[Block]:
        """A heading, how it went with the source, and the table unless the source gave nothing at all."""
        known: Sequence[Block] = [table] if self.known(source) else []
        return [Heading(text=self.texts(title)), *self.state(source), *known]

    def known(self, source: str) -> bool:
        """Whether a source gave something, now or before."""
        state = self.evidence.sources.get(source)
        return state is not None and state.collected is not None

    def state(self, source: str) -> list[Block]:
        """A warning when a source could not be read."""
        state = self.evidence.sources.get(source)
        if state is None or (state.collected is None):
            problem = state.problem if state else self.texts("unknown")
            return [Text(text=self.texts("not_collected", problem=problem), tone="warning")]
        if state.problem:
            time = self.time_format.full(state.collected)
            return [Text(text=self.texts("as_of", time=time, problem=state.problem), tone="warning")]
        return []

    def notes(self, phase: Phase) -> list[Block]:
        """What people wrote about a phase."""
        texts = self.texts
        table = Table(
            head=[self.time_head(), texts("since"), texts("who"), texts("text")],
            rows=[
                [self.short(note.at), self.after(note.at), note.author, note.text]
                for note in self.incident.noted(phase)
            ],
            empty=texts("nothing_noted"),
        )
        return [Heading(text=texts("notes")), table]

    def short(self, at: datetime) -> str:
        """A moment, with the day where it is not that of the alert."""
        return self.time_format.short(at, self.incident.alert.starts)

    def after(self, at: datetime) -> str:
        """Time since the alert."""
        return after(at, self.incident.alert.starts)

    def time_head(self) -> str:
        """Head of a column of times."""
        return self.texts("time")
