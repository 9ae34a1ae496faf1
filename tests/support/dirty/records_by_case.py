"""What arrived in the sink, record by record."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.text_format import MessageToString

from components.telemetry.layers import Signal
from tests.support.dirty.records import CASE, REQUESTS, Record

_PARTS = {
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
}
_CHANCE = re.compile(r"\w*time_unix_nano: \d+|\b\w*(?:trace|span)_id: \".*\"|\b[0-9a-f]{64}\b")
"""Times, ids and hashes: four digits of a secret are among theirs now and then."""
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


@dataclass(frozen=True)
class Arrived:
    """One record with what surrounds it."""

    resource: Any
    scope: Any
    record: Any

    @property
    def text(self) -> str:
        """Everything that can be read in it."""
        return "\n".join(MessageToString(part, as_utf8=True) for part in (self.resource, self.scope, self.record))


def by_case(signal: Signal, bodies: Iterable[bytes]) -> dict[str, Arrived]:
    """Records by their attribute `CASE`; those of others, among them sums and histograms, are passed over."""
    resources, scopes, records = _PARTS[signal]
    arrived: dict[str, Arrived] = {}
    for body in bodies:
        for resource in getattr(REQUESTS[signal].FromString(body), resources):
            for scope in getattr(resource, scopes):
                for record in getattr(scope, records):
                    holders = record.gauge.data_points[:1] if signal is Signal.METRICS else [record]
                    names = [
                        attribute.value.string_value
                        for own in holders
                        for attribute in own.attributes
                        if attribute.key == CASE
                    ]
                    arrived |= {name: Arrived(resource.resource, scope.scope, record) for name in names}
    return arrived


def readable(record: Record, arrived: Mapping[str, Arrived]) -> list[str]:
    """Secrets of ``record`` that can be read in what arrived, also by somebody who tidies the text up first."""
    text = _CHANCE.sub("", arrived[record.id].text.replace(f"instance of {record.id}", ""))
    tidy = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return [
        secret
        for secret in record.secrets
        if any(spelling in text or spelling in tidy for spelling in _spellings(secret))
    ]


def _spellings(secret: str) -> tuple[str, ...]:
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'").replace("\n", "\\n")
    return (secret, quoted, unicodedata.normalize("NFKC", _INVISIBLE.sub("", secret)))
