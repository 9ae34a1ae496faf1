"""The examples of masking, and the pseudonyms that others compute."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from components.masking import EXAMPLES, pseudonym
from components.masking.__main__ import document

KEY = "a key for tests, of at least thirty-two bytes"


def test_there_are_examples_of_both_kinds_for_everything_that_is_masked() -> None:
    assert len(EXAMPLES) >= 46
    assert len({example.id for example in EXAMPLES}) == len(EXAMPLES)
    for example in EXAMPLES:
        assert example.dirty, example.id
        assert example.clean, example.id
        assert all(secret and secret in text for text, secret in example.dirty), example.id


def test_the_page_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "masking.md"
    assert page.read_text() == document(), "run `python -m components.masking > docs/masking.md`"


def test_a_pseudonym_is_the_keyed_hash_that_the_gate_computes() -> None:
    expected = hmac.new(KEY.encode(), b"d-1", hashlib.sha256).hexdigest()
    assert pseudonym("d-1", KEY) == expected


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="must have at least 32"):
        pseudonym("d-1", "short")
