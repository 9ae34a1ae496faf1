"""Grafana's definitions of a backup beside those of a running Grafana."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ops.backups.credentials import Server
from ops.core.context import Context
from ops.core.grafana import address, administrator
from services.backup import restore_grafana
from services.backup.grafana import Definitions, read
from services.backup.web import Web

_KEYS = {"folders": ("uid",), "dashboards": ("uid",), "teams": ("name",), "permissions": ("kind", "uid")}
_SOURCE_KEY = ("uid",)


def own(context: Context) -> Server:
    """The platform's own Grafana, as its administrator."""
    platform = context.platform
    return Server(url=address(platform), ca_file=Path(context.ca_file), login=administrator(platform))


def live(server: Server) -> Definitions:
    """What a running Grafana has.

    Raises:
        BackupError: It refuses, or does not answer.
    """
    with Web("Grafana", server.url, server.ca_file, login=server.login) as web:
        return read(web)


def differences(folder: Path, server: Server) -> list[str]:
    """What differs between a fetched run and a running Grafana, one line each; nothing is changed.

    Raises:
        BackupError: The run is not whole, or Grafana refuses or does not answer.
    """
    return compared(restore_grafana.load(folder), live(server))


def compared(backup: Definitions, there: Definitions) -> list[str]:
    """What differs between two sets of definitions, one line each."""
    left, right = asdict(backup), asdict(there)
    told: list[str] = []
    for part, content in left.items():
        if isinstance(content, list):
            told += _things(part, _by_key(part, content), _by_key(part, right[part]))
        elif content != right[part]:
            told.append(f"{part} differs in {', '.join(_parts(content, right[part]))}")
    return told


def _by_key(part: str, things: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    keys = _KEYS.get(part, _SOURCE_KEY)
    return {" ".join(str(thing[key]) for key in keys): thing for thing in things}


def _things(part: str, backup: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    name = part.rstrip("s")
    return [
        f"{name} {key} is only in the backup"
        if key not in there
        else f"{name} {key} is only in Grafana"
        if key not in backup
        else f"{name} {key} differs in {', '.join(_parts(backup[key], there[key]))}"
        for key in sorted({*backup, *there})
        if backup.get(key) != there.get(key)
    ]


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
