"""How the index of logs cuts texts into terms."""

from __future__ import annotations

import pytest

from tests.config.search.documents import ANALYSED, cut
from tests.config.search_process import SearchProcesses


@pytest.mark.parametrize(("text", "expected"), ANALYSED)
def test_words_are_kept_whole_and_japanese_by_pairs(
    spans: SearchProcesses, text: str, expected: tuple[str, str]
) -> None:
    assert cut(spans, text) == expected
