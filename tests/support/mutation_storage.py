"""How keys of the object storage can be mixed up: each Secret with the key of another role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from policy.model import Resource

_FILE = "storage-access-key-id"
_LINE = re.compile(r"^(\s*access_key: )(\S+)$", re.MULTILINE)


def _keys(resource: Resource) -> Iterator[tuple[str, str, str]]:
    """Entry, its text, and the key's id in it."""
    for entry, text in (resource.props.get("stringData") or {}).items():
        match = _LINE.search(text)
        if entry == _FILE:
            yield entry, text, text
        elif match:
            yield entry, text, match[2]


def exchanged(resources: Sequence[Resource]) -> Iterator[tuple[int, str, Resource]]:
    """Index of a Secret, what becomes of it, and the Secret with a key that another one has."""
    secrets = [(index, held) for index, held in enumerate(resources) if held.kind == "Secret"]
    known = [key for _, held in secrets for _, _, key in _keys(held)]
    for index, held in secrets:
        for entry, text, key in _keys(held):
            other = next((another for another in known if another != key), None)
            if other is not None:
                props: dict[str, Any] = {**held.props, "stringData": {**held.props["stringData"]}}
                props["stringData"][entry] = text.replace(key, other)
                yield index, f"{entry}: the key of another role", Resource(held.type, held.name, props, held.urn)
