"""Grafana's ini files, read as the library of Grafana reads them (go-ini): by lines, however far they are indented."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Final

DEFAULT: Final = "default"
"""Section of the settings before the first one."""
_DELIMITERS: Final = "=:"
_COMMENT: Final = "#;"
_LONG: Final = ('"""', "`")
"""Quotes of values that may go over several lines."""


@functools.lru_cache(maxsize=64)
def read(text: str) -> Mapping[str, Mapping[str, str]]:
    """Settings by section, with upper and lower case as they are written; the last of several counts."""
    content: dict[str, dict[str, str]] = {}
    section = DEFAULT
    lines = iter(text.removeprefix("\ufeff").splitlines())
    for line in map(str.strip, lines):
        if not line or line[0] in _COMMENT:
            continue
        name, closed, _ = line[1:].rpartition("]")
        if line[0] == "[" and closed:
            section = name
            content.setdefault(section, {})
        elif setting := _setting(line):
            key, rest = setting
            content.setdefault(section, {})[key] = _value(rest, lines)
    return content


def _setting(line: str) -> tuple[str, str] | None:
    """Name of a setting, which may be quoted, and what is behind the delimiter."""
    quote = next((quote for quote in ('"""', '"', "`") if line.startswith(quote)), "")
    end = line.find(quote, len(quote)) if quote else 0
    delimiter = min((at for at in (line.find(sign, max(end, 0)) for sign in _DELIMITERS) if at >= 0), default=-1)
    if end < 0 or delimiter < 0:
        return None
    name = line[len(quote) : end] if quote else line[:delimiter]
    return name.strip(), line[delimiter + 1 :].strip()


def _value(text: str, lines: Iterator[str]) -> str:
    quote = next((quote for quote in _LONG if text.startswith(quote)), "")
    if quote:
        return _quoted(text[len(quote) :], quote, lines)
    if text.endswith("\\"):
        return _continued(text[:-1], lines)
    bare = text[: min((at for at in map(text.find, _COMMENT) if at >= 0), default=len(text))].strip()
    surrounded = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'" and bare.count(bare[0]) == len("''")
    return bare[1:-1] if surrounded else bare


def _quoted(text: str, quote: str, lines: Iterator[str]) -> str:
    """A value up to its last quote, in the same line or in a later one."""
    while quote not in text:
        following = next(lines, None)
        if following is None:
            return text
        text = f"{text}\n{following}"
    return text.rpartition(quote)[0]


def _continued(text: str, lines: Iterator[str]) -> str:
    """A value with the lines that continue it: each but the last ends with a backslash."""
    for line in map(str.strip, lines):
        text += line
        if not line or not text.endswith("\\"):
            break
        text = text[:-1]
    return text
