"""Fields of OTLP records that masking statements read and write, per signal."""

from __future__ import annotations

from dataclasses import dataclass

from components.masking.ottl import escaped, pattern, quoted
from components.telemetry.layers import Signal

FLAG = "obs.suspect"
"""Attribute of a record that is to be looked at closely; gone afterwards."""

TEXT = "obs.text"
"""Attributes that hold a record's other texts meanwhile."""


@dataclass(frozen=True, kw_only=True)
class OtlpFields:
    """One OTTL context: where its map and its texts are.

    Attributes:
        context: Name of the context.
        attributes: Path of the map.
        texts: Paths of its texts.
        body: Path of a value of any type, or "".
    """

    context: str
    attributes: str
    texts: tuple[str, ...]
    body: str = ""

    def cache(self, key: str) -> str:
        return f'{self.context}.cache["{key}"]'


MASKED_FIELDS: dict[Signal, tuple[OtlpFields, ...]] = {
    Signal.TRACES: (
        OtlpFields(
            context="span",
            attributes="span.attributes",
            texts=("span.name", "span.status.message", "span.trace_state"),
        ),
        OtlpFields(context="spanevent", attributes="spanevent.attributes", texts=("spanevent.name",)),
    ),
    Signal.METRICS: (OtlpFields(context="datapoint", attributes="datapoint.attributes", texts=()),),
    Signal.LOGS: (
        OtlpFields(
            context="log",
            attributes="log.attributes",
            texts=("log.severity_text", "log.event_name"),
            body="log.body",
        ),
    ),
}
"""Where records are: looked at closely."""


def replace(fields: OtlpFields, expression: str, replacement: str, mode: str = "value") -> str:
    """A statement that replaces in all values (or keys) of the fields."""
    return f'replace_all_patterns({fields.attributes}, "{mode}", {pattern(expression)}, {quoted(escaped(replacement))})'
