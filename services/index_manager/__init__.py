"""Keeps the indices of the search cluster, and measures it.

Runs as ``python3 -m services.index_manager --config FILE``. Each round it makes sure that users and roles are the ones
of its file, that templates, first indices and aliases exist, begins new indices, deletes old ones, and reads what
its metrics tell. Every step can be repeated at any time.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import model_validator

from services.runtime.settings import File, ServerSettings, SettingsModel, Text, Url, broken_rule, checked

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_Number = Annotated[
    int,
    checked(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1, "a whole number from 1"
    ),
]
_Name = Annotated[
    str,
    checked(
        lambda value: isinstance(value, str) and _NAME.fullmatch(value) is not None,
        "lower-case letters, digits and hyphens",
    ),
]


class AccessFile(SettingsModel):
    """Users and roles to apply, and the certificate that may."""

    file: File
    cert_file: File
    key_file: File


class Rollover(SettingsModel):
    """Upper limits of one index."""

    age_s: _Number
    bytes: _Number
    documents: _Number


class FamilySettings(SettingsModel):
    """One family of indices, ``<name>-000001`` and so on."""

    name: _Name
    write_alias: _Name
    read_aliases: Annotated[
        tuple[_Name, ...], checked(lambda value: isinstance(value, list | tuple), "a list of names")
    ]
    template: Annotated[dict[str, Any], checked(lambda value: isinstance(value, dict), "an index template")]
    rollover: Rollover
    keep_s: _Number


class IndexManagerSettings(ServerSettings):
    """All settings of the index manager.

    Attributes:
        url: The cluster, ``https://host:port``.
        nodes: Number of its nodes.
        interval_s: Seconds between two rounds.
    """

    url: Url
    ca_file: File
    username: Text
    password_file: File
    access: AccessFile | None
    nodes: _Number
    families: Annotated[
        tuple[FamilySettings, ...],
        checked(lambda value: isinstance(value, list | tuple) and len(value) > 0, "a list of families"),
    ]
    interval_s: _Number

    @model_validator(mode="after")
    def _unique(self) -> IndexManagerSettings:
        names = [family.name for family in self.families] + [family.write_alias for family in self.families]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise broken_rule(f"families: {twice[0]} occurs twice; names and write aliases must be unique")
        return self
