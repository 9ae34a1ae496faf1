"""What needs no close look: everyday spans, and nothing that any rule would find."""

from __future__ import annotations

import json
import random
import re

from components.masking.catalogue import EVERY
from components.masking.fast_path import LABELLED, LABELS, SPELLED, fast_path_pattern
from components.masking.pseudonyms import pseudonym
from components.telemetry.services import TRACED_SERVICES, SpanKind, TracedOperation
from tests.support.dirty.records import DIRTY_FILES, load
from tests.unit.masking.test_masking_rules import python_pattern

ACCEPTED = re.compile(fast_path_pattern(1))
_PIECES = (
    *("a", "to", "dev", "card", "tel", "pin", "token", "tanaka", "san", "jwt", "eyj", "akia", "sk", "ip", "box", "lat"),
    *("v1", "b2", "x12", "k123", "q1234", "090", "1234", "5678", "192", "168", "10", "7", "35", "681"),
)
_CLASSES = {"L": "A-Za-z", "Lu": "A-Z", "N": "0-9", "Han": "一-龠", "Hiragana": "ぁ-ん", "Katakana": "ァ-ン"}
"""RE2's classes, as far as plain values, which are ASCII, can tell."""
_BETWEEN = ("", ".", "/", "-", "_", "--", "{", "}", " ", ": ", "=", "?", "@", "%")


def attribute(value: str) -> str:
    """A record with one known attribute, as the collector writes it, and a plain text."""
    return json.dumps({"url.path": value}, separators=(",", ":"), ensure_ascii=False) + "\nready"


def text(value: str) -> str:
    """A record with a text and no attribute."""
    return f"{{}}\n{value}"


def ascii_pattern(expression: str) -> re.Pattern[str]:
    """An RE2 expression for Python, right for ASCII."""
    inside = re.sub(r"(\[[^\]]*)\\p\{(\w+)\}", lambda match: match[1] + _CLASSES[match[2]], expression)
    while inside != expression:
        expression = inside
        inside = re.sub(r"(\[[^\]]*)\\p\{(\w+)\}", lambda match: match[1] + _CLASSES[match[2]], expression)
    return re.compile(python_pattern(re.sub(r"\\p\{(\w+)\}", lambda match: f"[{_CLASSES[match[1]]}]", inside)))


def passes(record: str) -> bool:
    """Whether a record with one text is not looked at closely."""
    last = record.rpartition("\n")[2]
    labelled = re.search(LABELLED, last) and re.search(LABELS, last)
    return bool(ACCEPTED.search(record)) and SPELLED not in last and not labelled


def span_attributes(operation: TracedOperation) -> dict[str, str]:
    """Known attributes of a span, with plain values."""
    values = {"data.classification": operation.classification}
    method, _, route = operation.name.partition(" ")
    if operation.kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
        values |= {
            "messaging.system": "kafka",
            "messaging.destination.name": route,
            "messaging.destination.partition.id": "3",
            "messaging.operation.name": method,
            "messaging.operation.type": method,
        }
    elif operation.kind is SpanKind.SERVER:
        path = route.format(device="dev-12", stream="s12")
        values |= {"http.request.method": method, "http.route": route, "url.scheme": "https", "url.path": path}
        values |= {"http.response.status_code": "202"}
    elif operation.kind is SpanKind.CLIENT:
        values |= {"http.request.method": method, "server.address": "next", "server.port": "443"}
    return values


def test_every_span_of_known_attributes_is_plain_once_its_ids_are_hashed() -> None:
    operations = [operation for service in TRACED_SERVICES for operation in service.operations]
    for number, operation in enumerate(operations):
        values = {**span_attributes(operation), "device.id": pseudonym(f"dev-{number:04}", "k" * 32)}
        record = json.dumps(values, separators=(",", ":"), sort_keys=True)
        assert passes(f"{record}\n{operation.name}"), (operation.name, record)
    assert {operation.kind for operation in operations} >= {SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER}


def test_an_id_that_is_not_hashed_is_looked_at() -> None:
    assert not passes('{"device.id":"dev-0001"}\nready')
    assert not passes('{"device.id":"' + "0" * 63 + '"}\nready')
    assert not passes('{"note":"' + "0" * 64 + '"}\nready')


def test_no_dirty_value_of_the_corpora_is_plain_as_an_attribute() -> None:
    values = [dirty for rule in EVERY for dirty, _ in rule.dirty]
    values += [
        record.value
        for name in DIRTY_FILES
        for record in load(name)
        if isinstance(record.value, str) and not record.id.startswith("nasty-key-")
    ]
    assert [value for value in values if passes(attribute(value)) and value != "hunter2"] == []


def test_no_rule_finds_anything_in_what_is_taken_for_plain() -> None:
    rules = [(rule.id, ascii_pattern(rule.pattern)) for rule in EVERY]
    chance = random.Random(20261124)
    plain_ones = 0
    for _ in range(30_000):
        words = [chance.choice(_PIECES) + chance.choice(_BETWEEN) for _ in range(chance.randint(1, 9))]
        value = "".join(words)
        if any(passes(make(value)) for make in (attribute, text)):
            plain_ones += 1
            rule_names = [name for name, pattern in rules if pattern.search(value)]
            assert not rule_names, (value, rule_names)
    assert plain_ones > 1_000, "the pieces make too few plain values to say anything"
