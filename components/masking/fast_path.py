# ruff: noqa: E501  (expressions read better in one piece)
"""The masking fast path: records with known attributes with plain values, and texts of plain words.

Nearly all telemetry of a healthy platform is like that, and one anchored expression, which never goes back, settles it.
No rule could match: there is no sign, no run of digits, no capital letter, no label with something behind it.
"""

from __future__ import annotations

from components.masking.keys import HASHED_KEYS
from components.masking.ottl import literal
from components.masking.triggers import WORDS
from components.telemetry.catalogue import METRICS

KNOWN_KEYS: tuple[str, ...] = tuple(
    sorted(
        {
            *(key for metric in METRICS for key in metric.attributes),
            "http.request.method", "http.request.body.size", "http.response.body.size", "http.response.status_code", "http.route",
            "http.request.resend_count", "url.scheme", "url.path", "server.port", "client.port", "network.transport", "network.type",
            "network.protocol.name", "network.protocol.version", "network.peer.port", "error.type", "exception.type", "exception.escaped",
            "rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code", "db.system", "db.system.name", "db.operation.name",
            "db.collection.name", "db.namespace", "db.response.status_code", "messaging.system", "messaging.operation.type", "messaging.destination.name",
            "messaging.operation.name", "messaging.batch.message_count", "messaging.destination.partition.id", "messaging.kafka.offset", "code.function.name",
            "code.line.number", "thread.id", "thread.name", "process.pid", "data.classification", "event.name", "stream.active", "span.kind",
            "otel.status_code", "otel.scope.name", "peer.service", "server.address", "client.address", "network.peer.address", "component", "worker", "run", "state", "status", "type", "reason", "attempt", "retry", "size", "count", "queue", "topic", "partition", "le", "quantile",
        }
    )
)  # fmt: skip

_BETWEEN = r"(?:[./{}_ -]{1,2}|[:,] )"
_FEW = r"[0-9]{1,3}(?:\.[0-9])?"
_WORD = "(?:[a-z]{1,15}|v[0-9])"
_WORDS = rf"(?:{_WORD})?(?:{_BETWEEN}(?:{_FEW} )?{_WORD}){{0,20}}(?: {_FEW}|[./}}])?"
"""Words of a sentence with a number here and there, never two in a row."""
_SEPARATOR = "[./{}_-]{1,2}"
_NAMED = "[a-z]{1,15}[0-9]{0,4}"
_SHORT = rf"(?:{_NAMED})?(?:{_SEPARATOR}(?:{_NAMED}|[0-9]{{1,4}}[./]{_NAMED})){{0,12}}(?:[/-][0-9]{{1,4}}|[./}}])?"
"""Words and names like ``dev-12``; between two groups of digits there is always a letter."""
_HASHED = rf"(?:[a-z]+\.){{0,2}}(?:{HASHED_KEYS.pattern})\":\"[0-9a-f]{{64}}\""
"""An id that is hashed already: its digits mean nothing, though they may look like a number of somebody."""
_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,17})?(?:e[+-]?[0-9]{1,3})?"
_CODE = r"[A-Z]{1,7}|[0-9]{1,5}(?:\.[0-9])?"
_METHOD = "(?:GET |HEAD |POST |PUT |PATCH |DELETE |OPTIONS |SELECT |INSERT |UPDATE )?"


def fast_path_pattern(texts: int) -> str:
    """Expression for a map as JSON and ``texts`` texts, one a line."""
    keys = "|".join(literal(key) for key in KNOWN_KEYS)
    pairs = rf"(?:\"(?:(?:{keys})\":(?:\"(?:{_SHORT}|{_CODE})\"|{_NUMBER}|true|false)|{_HASHED}),?)*"
    return rf"^\{{{pairs}\}}" + rf"\n(?:{_METHOD}{_WORDS}|[A-Z]{{1,9}})" * texts + "$"


SPELLED = " dot "
"""What plain words can spell: a mail address."""

LABELS = "|".join(sorted(literal(word) for name in ("secret", "auth", "name", "pem") for word in WORDS[name]))
"""What plain words can be: a label, with something behind it that is none of the platform's business."""

LABELLED = ":|[^v][0-9]"
"""Without one of these, a label has nothing behind it; the ``v1`` of an address is no value."""
