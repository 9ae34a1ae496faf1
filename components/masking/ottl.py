"""Texts and expressions in the OpenTelemetry Transformation Language, inside a collector's configuration."""

from __future__ import annotations

from collections.abc import Iterable

_META = r"\.+*?()|[]{}^$"


def escaped(text: str) -> str:
    """The collector replaces ``$$`` by ``$`` and expands ``${...}`` in its configuration."""
    return text.replace("$", "$$")


def quoted(text: str) -> str:
    """A string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def pattern(expression: str) -> str:
    """A string literal that holds an RE2 expression."""
    return quoted(escaped(expression))


def literal(text: str) -> str:
    """The RE2 expression that matches ``text`` and nothing else; the collector searches for it without an automaton."""
    return "".join(f"\\{letter}" if letter in _META else letter for letter in text)


def has(path: str, text: str) -> str:
    """A condition: ``text`` occurs in the value of ``path``."""
    return f"IsMatch({path}, {pattern(literal(text))})"


def any_of(words: Iterable[str]) -> str:
    """A string literal that holds an expression for any of the words."""
    return pattern("|".join(sorted({literal(word) for word in words})))
