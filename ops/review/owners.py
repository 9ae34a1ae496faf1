"""Who must approve: ``CODEOWNERS`` read as the forge reads it (the last line that fits a file decides)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FILES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the forge looks, in this order."""


@dataclass(frozen=True)
class Rule:
    """One line: a pattern and its owners (none: nobody needs to approve)."""

    pattern: str
    owners: tuple[str, ...]

    def fits(self, file: str) -> bool:
        """Whether the pattern names a file."""
        return _expression(self.pattern).fullmatch(file) is not None


def parse(text: str) -> list[Rule]:
    """Rules of a file, in its order."""
    rules: list[Rule] = []
    for line in text.splitlines():
        words = re.split(r"(?<!\\)\s+", line.partition(" #")[0].strip())
        if words[0] and not words[0].startswith("#"):
            rules.append(Rule(words[0].replace("\\ ", " "), tuple(words[1:])))
    return rules


def required(rules: Iterable[Rule], files: Iterable[str]) -> Mapping[tuple[str, ...], list[str]]:
    """Owners -> the changed files that they must approve; files that nobody owns under ``()``."""
    ordered = list(rules)[::-1]
    result: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        owners = next((rule.owners for rule in ordered if rule.fits(file)), ())
        result.setdefault(owners, []).append(file)
    return dict(sorted(result.items()))


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over a whole path."""
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts = {r"**/": "(?:.*/)?", r"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    translated = "".join(
        parts[piece] if piece in parts else re.escape(piece) for piece in re.split(r"(\*\*/|/\*\*|\*\*|\*|\?)", body)
    )
    start = "" if anchored else "(?:.*/)?"
    # A name is a file or a folder with everything in it; `folder/*` is only what lies directly in the folder.
    end = "/.*" if pattern.endswith("/") else "" if body.endswith("*") and anchored else "(?:/.*)?"
    return re.compile(start + translated + end)
