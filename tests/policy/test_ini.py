"""Grafana's ini files are read as Grafana reads them."""

from __future__ import annotations

import pytest

from policy.documents import ini


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a = 1\n[b]\nc: 2\n", {"default": {"a": "1"}, "b": {"c": "2"}}),
        ("[a]\nb = 1\n  [c]\n  d = 2\n", {"a": {"b": "1"}, "c": {"d": "2"}}),
        ("[a]\nb = 1\n\td = 2\n", {"a": {"b": "1", "d": "2"}}),
        ("[a]\nb = 1\nB = 2\n[A]\nb = 3\n", {"a": {"b": "1", "B": "2"}, "A": {"b": "3"}}),
        ("[a]\nb = 1\n[c]\n[a]\nb = 2\n", {"a": {"b": "2"}, "c": {}}),
        ("# x\n; y\n[a] ; z\nb = 1 # no\nc = 2;no\n", {"a": {"b": "1", "c": "2"}}),
        ("[a]\nb = \"1\"\n'c' = '2'\n\"d\" = 3\n`e=f` = 4\n", {"a": {"b": "1", "'c'": "2", "d": "3", "e=f": "4"}}),
        ("[a]\nb = 1\\\n[c]\nd = 2\n", {"a": {"b": "1[c]", "d": "2"}}),
        ("[a]\nb = 1\\\n2\\\n\nd = 3\n", {"a": {"b": "12", "d": "3"}}),
        ('[a]\nb = """1\n[c]\nd = 2"""\ne = 3\n', {"a": {"b": "1\n[c]\nd = 2", "e": "3"}}),
        ("[a]\nb = `1 # 2`\nc = `3\n4`\n", {"a": {"b": "1 # 2", "c": "3\n4"}}),
        ("[a]\nno setting\n[b\nc = 1\n", {"a": {"c": "1"}}),
        ("\ufeff[a]\r\nb =\r\n", {"a": {"b": ""}}),
    ],
)
def test_sections_and_settings_are_those_that_grafana_reads(text: str, content: dict[str, dict[str, str]]) -> None:
    assert ini(text) == content
