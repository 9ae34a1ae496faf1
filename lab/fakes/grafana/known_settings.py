"""Every section and setting that Grafana 12.3 knows (``known_settings.yaml``), with the type that it reads each as.

The real Grafana takes no notice of a name that it does not know, and reads a value of the wrong type as its default. A
mistyped setting would then protect nothing, and nobody would be notified. So the fake is stricter on purpose: it
refuses to start, with one line that names section and key.

Where from: names and types as facts from Grafana's public documentation of its configuration and from sample files of
late releases 12; no text of it. The file of 12.3.1 itself and its image could not be had. Beyond those samples:
``preinstall_async`` (read by 12) and ``enabled`` of ``cloud_migration`` (later releases; in 12 the feature
``onPremToCloudMigrations``). When the version in ``components/versions.py`` changes, compare this with
``/usr/share/grafana/conf/defaults.ini`` of the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

_EVERY: Final = "*"
"""Stands for names that people choose."""
OPEN: Final = ("plugin.", "unified_storage.", "secrets_manager.encryption.", "security.encryption.")
"""Sections of that begin belong to a plugin, a kind of resource or a key provider: anything may stand in them."""
_TRUE_OR_FALSE: Final = frozenset(("1", "t", "true", "yes", "y", "on", "0", "f", "false", "no", "n", "off"))
_DURATION: Final = re.compile(r"0|(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h|d|w|M|y))+")
_TYPES: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "": (lambda text: True, ""),
    "bool": (lambda text: text.lower() in _TRUE_OR_FALSE, "true or false"),
    "int": (lambda text: re.fullmatch(r"-?\d{1,19}", text), "a whole number"),
    "duration": (_DURATION.fullmatch, "a duration, for example 30m or 7d"),
}


def _read(text: str) -> Mapping[str, str]:
    return MappingProxyType({name: kind for name, _, kind in (part.partition(":") for part in text.split())})


KNOWN: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        section: _read(text)
        for section, text in yaml.load(
            Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
        ).items()
    }
)
"""Section -> setting -> type: ``bool``, ``int``, ``duration``, or nothing for a text; ``*`` is any setting."""


def type_of(section: str, key: str) -> str | None:
    """The type that Grafana reads a setting as; None: it does not know it."""
    if section.startswith(OPEN):
        return ""
    names = KNOWN.get(section, {})
    return names.get(key, names.get(_EVERY))


def expected(kind: str, value: str) -> str:
    """What a value should be and is not; empty where it is well.

    Args:
        kind: Type of the setting.
        value: Its text, references filled in, not empty.
    """
    fits, words = _TYPES[kind]
    return "" if fits(value) else words
