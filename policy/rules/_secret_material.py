"""What a secret looks like when it is written where everybody can read it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from policy.documents import Format, parse, properties

_PATTERNS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    # what it is; texts of which one must be there, to be quick; how it looks
    ("a private key", ("PRIVATE KEY",), re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("a bcrypt hash", ("$2",), re.compile(r"\$2[abxy]?\$\d{2}\$[./A-Za-z0-9]{53}")),
    (
        "a password hash",
        ("$apr1$", "$1$", "$5$", "$6$", "$y$", "$argon2", "SHA"),
        re.compile(r"\$(?:apr1|1|5|6|y|argon2(?:i|d|id))\$[^\s:'\"]{8,}|\{S?SHA(?:256|512)?\}[\w+/=]{20,}"),
    ),
    (
        "a SCRAM credential",
        ("SCRAM-SHA-", "stored_key="),
        re.compile(r"SCRAM-SHA-\d+=\[[^\]]*(?:password|salted|stored_key)|\bstored_key="),
    ),
    (
        "a password in a login line",
        ("LoginModule",),
        re.compile(r"LoginModule[^;]*\bpassword\s*=\s*[\"']?(?!\$\{|\$\(|\$__)[^\"'\s;]+", re.IGNORECASE),
    ),
    ("a password in a URL", ("@",), re.compile(r"://[^\s/@:'\"]*:(?!\$\{|\$\(|\$__|%\()[^\s/@'\"]+@")),
    ("a web token", ("eyJ",), re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")),
    ("a cloud access key", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (
        "a header with credentials",
        ("Basic ", "Bearer "),
        re.compile(r"\b(?:Basic|Bearer) (?!\$\{|\$\()(?=[A-Za-z+/_=.-]*\d)[A-Za-z0-9+/_=.-]{16,}"),
    ),
    (
        "a token of a service",
        ("_", "xox", "glpat-"),
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[\w-]{10,}|glsa_\w{20,}|glpat-[\w-]{20,})"),
    ),
)
_SECRET_WORDS = frozenset({"password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials"})
_SECRET_PAIRS = frozenset(
    {
        *((what, "key") for what in ("api", "access", "secret", "private", "encryption", "account", "signing", "hash")),
        ("password", "hash"),
        ("pass", "phrase"),
    }
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_REFERENCE = re.compile(
    r"\s*(?:\$\{[^}]+\}|\$\([^)]+\)|\$__(?:file|env|vault)\{[^}]+\}|\$[A-Z_][A-Z0-9_]*|%\([^)]+\)s|\{\{[^}]+\}\}"
    r"|(?:file:)?/[\w.@-]+(?:/[\w.@-]+)+|file:[\w./-]+|<[\w -]+>)\s*"
)
_HARMLESS = frozenset({"", "true", "false", "null", "none", "~", "required", "optional", "-"})
_OPAQUE = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
_NO_KEYS = frozenset({Format.RULES})
"""Formats in which keys are free text, not settings."""


@functools.lru_cache(maxsize=4096)
def named_secret(key: str) -> bool:
    """Whether a key says that its value is a secret itself, not a file or a name of one."""
    words = [word.lower() for word in _WORDS.findall(key) if not word.isdigit()]
    if not words:
        return False
    return words[-1] in _SECRET_WORDS or tuple(words[-2:]) in _SECRET_PAIRS or words[-1].endswith("password")


def literal(value: object) -> bool:
    """Whether a value is written out, rather than a path, a placeholder, a switch or nothing."""
    if not isinstance(value, str):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return value.strip().lower() not in _HARMLESS and not _REFERENCE.fullmatch(value)


def material(text: str) -> str:
    """What secret a text has in it, or empty."""
    return next((what for what, marks, pattern in _PATTERNS if _any(marks, text) and pattern.search(text)), "")


def _any(marks: tuple[str, ...], text: str) -> bool:
    return any(mark in text for mark in marks)


def in_text(key: str, value: object) -> str:
    """What secret a named value is, or empty."""
    if isinstance(value, str) and (kind := material(value)):
        return kind
    return "a secret" if named_secret(key) and literal(value) else ""


@functools.lru_cache(maxsize=512)
def in_file(name: str, text: str) -> tuple[tuple[str, str], ...]:
    """Place and kind of every secret in a file: ``users.yml: admin``, ``a bcrypt hash``."""
    kind, content = parse(name, text)
    if isinstance(content, str):
        return tuple(_plain(name, text))
    pattern = material(text)
    matches = [
        (f"{name}: {path}", what)
        for path, key, value in _leaves(content, "", "")
        if (what := _leaf("" if kind in _NO_KEYS else key, value, pattern))
    ]
    if pattern and pattern not in {what for _, what in matches}:
        matches.append((name, pattern))
    return tuple(matches)


def _leaf(key: str, value: object, pattern: str) -> str:
    """What secret a single value is; patterns are looked for only where the whole file has one."""
    if pattern:
        return in_text(key, value)
    return "a secret" if key and named_secret(key) and literal(value) else ""


def _leaves(value: object, path: str, key: str) -> Iterator[tuple[str, str, object]]:
    """Path, key and value of everything that is no mapping and no list; elements have their list's key."""
    if isinstance(value, dict):
        for inner in value:
            quoted = str(inner) if "." not in str(inner) else f'"{inner}"'
            yield from _leaves(value[inner], f"{path}.{quoted}" if path else quoted, str(inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]", key)
    else:
        yield path, key, value


def _plain(name: str, text: str) -> Iterator[tuple[str, str]]:
    if kind := material(text):
        yield name, kind
        return
    word = text.strip()
    if _OPAQUE.fullmatch(word) and re.search(r"\d", word) and re.search(r"[A-Za-z]", word):
        yield name, "one opaque word"
    elif named_secret(name) and "\n" not in word and literal(word):
        yield name, "a secret"
    else:
        for key, value in properties(text).items():
            if re.fullmatch(r"[\w.-]+", key) and named_secret(key) and literal(value.strip("\"'")):
                yield f"{name}: {key}", "a secret"
                return
