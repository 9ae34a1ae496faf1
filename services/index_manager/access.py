"""Users and roles of the running cluster are the ones of the file: added, changed and removed as it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.runtime.json_api import ApiError, JsonApi

_API = "/_plugins/_security/api"
KINDS = ("roles", "internalusers", "rolesmapping")
"""In the order of applying: a mapping names users and roles."""


def apply(admin: JsonApi, text: str) -> None:
    """Make the cluster's users, roles and mappings the ones of the file's text.

    Raises:
        ApiError: The cluster refuses, or the text is not the expected JSON.
    """
    try:
        wanted = json.loads(text)
        documents = {kind: wanted[kind] for kind in KINDS}
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(f"the access file is not usable: {type(error).__name__} {error}") from None
    for kind, entries in documents.items():
        current = admin.ask("GET", f"{_API}/{kind}") or {}
        changes = operations(current, entries)
        if changes:
            admin.ask("PATCH", f"{_API}/{kind}", changes)


def operations(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The changes that make one out of the other. What the plugin brings itself is left alone."""
    gone = [name for name, entry in current.items() if name not in wanted and not _built_in(entry)]
    removals: list[dict[str, Any]] = [{"op": "remove", "path": f"/{name}"} for name in sorted(gone)]
    return removals + [{"op": "add", "path": f"/{name}", "value": entry} for name, entry in sorted(wanted.items())]


def _built_in(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("static") or entry.get("hidden"))
