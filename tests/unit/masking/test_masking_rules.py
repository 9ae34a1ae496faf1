"""The rules as data: complete, consistent, and seen by the guards that decide whether they are tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.masking.allow_list import allowed_keys
from components.masking.catalogue import EVERY, RULES
from components.masking.document import document
from components.masking.fast_path import KNOWN_KEYS, LABELLED, LABELS, SPELLED, fast_path_pattern
from components.masking.keys import HASHED_KEYS, POSITION_KEYS, REMOVED_KEYS, anchored, whole
from components.masking.model import DataClass, KeyRule
from components.masking.pseudonyms import pseudonym
from components.masking.triggers import GATES, GUARDS, WORDS
from components.telemetry.layers import LAYER_NAMES
from tests.support.dirty.records import DIRTY_FILES, load

KEY_RULES = (*REMOVED_KEYS, POSITION_KEYS, HASHED_KEYS)


def python_pattern(pattern: str) -> str:
    """Key expressions use nothing that Python spells differently, but for where flags stand."""
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: re.escape(chr(int(match[1], 16))), pattern)


def test_rules_have_names_of_their_own() -> None:
    names = [rule.id for rule in (*EVERY, *KEY_RULES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("data_class", list(DataClass))
def test_every_kind_of_data_has_a_rule(data_class: DataClass) -> None:
    assert [rule for rule in (*EVERY, *KEY_RULES) if rule.data_class is data_class]


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.id)
def test_a_rule_says_what_it_finds_and_what_it_leaves(rule: object) -> None:
    assert rule in EVERY
    assert rule.dirty, "no example of what it finds"  # type: ignore[attr-defined]
    assert rule.clean, "no example of what it leaves"  # type: ignore[attr-defined]
    assert all(secret in text for text, secret in rule.dirty)  # type: ignore[attr-defined]


def test_rules_name_guards_that_exist() -> None:
    assert {name for rule in RULES for name in rule.guards} <= set(GUARDS)
    assert {name for name, pattern in GUARDS.items() if not pattern} <= set(WORDS)
    assert {name for names in GATES.values() for name in names} <= set(WORDS)


@pytest.mark.parametrize("rule", KEY_RULES, ids=lambda rule: rule.id)
def test_a_key_rule_takes_its_keys_and_no_others(rule: KeyRule) -> None:
    expression = anchored(rule.pattern) if rule is HASHED_KEYS else whole(rule.pattern)
    matches = re.compile(python_pattern(expression))
    assert [key for key in rule.dirty if not matches.search(key)] == []
    assert [key for key in rule.clean if matches.search(key)] == []


def test_no_known_key_is_sensitive() -> None:
    expressions = [re.compile(python_pattern(whole(rule.pattern))) for rule in KEY_RULES]
    assert [key for key in KNOWN_KEYS if any(expression.search(key) for expression in expressions)] == []


def test_nothing_dirty_is_taken_for_plain() -> None:
    accepted, labels = re.compile(fast_path_pattern(1)), re.compile(LABELS)
    texts = [text for rule in EVERY for text, _ in rule.dirty]
    texts += [
        record.value
        for name in DIRTY_FILES
        for record in load(name)
        if isinstance(record.value, str) and not record.id.startswith("nasty-key-")
    ]
    plain_ones = [
        text
        for text in texts
        if accepted.search(f"{{}}\n{text}")
        and SPELLED not in text
        and not (re.search(LABELLED, text) and labels.search(text))
    ]
    assert plain_ones == []


def test_everyday_telemetry_is_plain() -> None:
    accepted = re.compile(fast_path_pattern(1))
    record = '{"error.type":"timeout","http.request.method":"GET","http.response.status_code":200,"attempt":3}'
    for text in ("segment was not stored: timeout", "GET /api/works/{id}", "now 3 streams, 2.5 s behind", "ready", ""):
        assert accepted.search(f"{record}\n{text}"), text


def test_every_layer_has_an_allow_list_of_its_own() -> None:
    assert len({allowed_keys(name) for name in LAYER_NAMES}) == len(LAYER_NAMES)


def test_a_layer_without_allow_list_is_an_error() -> None:
    with pytest.raises(KeyError):
        allowed_keys("moon")


def test_the_page_is_what_the_rules_say() -> None:
    page = Path(__file__).parents[3] / "docs" / "masking.md"
    assert page.read_text() == document(), "run `python -m components.masking > docs/masking.md`"


def test_a_pseudonym_depends_on_the_value_and_on_the_key() -> None:
    one, other = "k" * 32, "l" * 32
    assert pseudonym("dev-0001", one) == pseudonym("dev-0001", one)
    assert len({pseudonym("dev-0001", one), pseudonym("dev-0002", one), pseudonym("dev-0001", other)}) == 3


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="the key for ids has 5 bytes, must have at least 32"):
        pseudonym("dev-0001", "short")
