"""Grafana's ini file as Grafana reads it: environment above the file, references to files and variables filled in."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

_REFERENCE = re.compile(r"\$(__file|__env|__vault|)\{([^}]*)\}")
_OWN = re.compile(r"%\((\w+)\)s")
_DURATION = re.compile(r"(\d+)(ms|[smhdwMy])")
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "M": timedelta(days=30),
    "y": timedelta(days=365),
}
_TRUE: Final = ("1", "t", "true", "yes", "y", "on")
_FALSE: Final = ("0", "f", "false", "no", "n", "off")
_TOP: Final = "\0"
_OF_THE_IMAGE: Final = ("GF_PATHS_HOME", "GF_PATHS_CONFIG")


def duration_of(text: str) -> timedelta | None:
    """A duration as Grafana writes it; None where it is none."""
    parts = _DURATION.findall(text)
    if not parts or len(text) > 50 or "".join(f"{count}{unit}" for count, unit in parts) != text:
        return None
    try:
        return sum((int(count) * _UNITS[unit] for count, unit in parts), timedelta())
    except OverflowError:
        return None


class SettingsError(Exception):
    """What is wrong with the settings, in one line that says what to do; never with a secret in it."""


def expanded(where: str, value: str, environment: Mapping[str, str]) -> str:
    """Fill in ``$__file{PATH}``, ``$__env{NAME}`` and ``${NAME}``.

    Args:
        where: Name of the setting, for messages.
        value: Text of the setting.
        environment: Variables.

    Raises:
        SettingsError: A file cannot be read, or the kind of reference is not known.
    """

    def fill(match: re.Match[str]) -> str:
        kind, name = match[1], match[2].strip()
        if kind == "__file":
            try:
                return Path(name).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise SettingsError(f"{where}: the file {name} cannot be read: {reason}") from None
        if kind == "__vault":
            raise SettingsError(f"{where}: $__vault{{}} is not offered; write $__file{{PATH}}")
        return environment.get(name, "")

    return _REFERENCE.sub(fill, value)


class Ini:
    """Settings by section and key."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        """Read a file.

        Raises:
            SettingsError: It cannot be read, is no ini file, or a reference in it cannot be filled in.
        """
        self._path, self._environment = path, environment
        parser = configparser.RawConfigParser(
            delimiters=("=",),
            comment_prefixes=("#", ";"),
            default_section=f"{_TOP}defaults",
            empty_lines_in_values=False,
        )
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(f"[{_TOP}]\n{path.read_text()}", source=str(path))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: is no ini file: {' '.join(str(error).split())}") from None
        self._sections = {
            "" if section == _TOP else section: {key: _unquoted(value) for key, value in parser.items(section)}
            for section in parser.sections()
        }
        for name in environment:
            if name.startswith("GF_") and name.endswith("__FILE"):
                raise SettingsError(
                    f"{name}: only the image's own entry script reads variables that end in __FILE, and it is not run; "
                    "write $__file{PATH} into the ini file"
                )

    def sections(self) -> tuple[str, ...]:
        """Sections that the file has; what stands before the first one is in the section without a name."""
        return tuple(name for name, entries in self._sections.items() if name or entries)

    def keys(self, section: str) -> tuple[str, ...]:
        """Keys that the file gives in a section."""
        return tuple(self._sections.get(section, {}))

    def text(self, section: str, key: str, default: str = "") -> str:
        """A setting's text; an empty one is the default.

        Raises:
            SettingsError: A reference in it cannot be filled in.
        """
        value = self._environment.get(variable(section, key)) or self._sections.get(section, {}).get(key, "")
        value = _OWN.sub(lambda match: self.text(section, match[1]), value)
        return expanded(self.name(section, key), value, self._environment) or default

    def flag(self, section: str, key: str, *, default: bool = False) -> bool:
        """A setting that is true or false.

        Raises:
            SettingsError: It is neither.
        """
        value = self.text(section, key).lower()
        if not value:
            return default
        if value not in (*_TRUE, *_FALSE):
            raise SettingsError(f"{self.name(section, key)} is {value!r}; it must be true or false")
        return value in _TRUE

    def number(self, section: str, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds.

        Raises:
            SettingsError: It is none, or out of bounds.
        """
        value = self.text(section, key, str(default))
        if not value.isdigit() or not low <= int(value) <= high:
            raise SettingsError(
                f"{self.name(section, key)} is {value!r}; it must be a whole number from {low} to {high}"
            )
        return int(value)

    def duration(self, section: str, key: str, default: str) -> timedelta:
        """A positive duration as Grafana writes it, for example ``7d``.

        Raises:
            SettingsError: It is none.
        """
        value = self.text(section, key, default)
        total = duration_of(value)
        if not total:
            raise SettingsError(f"{self.name(section, key)} is {value!r}; it must be a duration, for example 30m or 7d")
        return total

    def name(self, section: str, key: str) -> str:
        """A setting's name in messages."""
        return f"{self.place(section)} {key}"

    def place(self, section: str) -> str:
        """A section's name in messages."""
        return f"{self._path}: [{section}]"

    def variables(self) -> tuple[str, ...]:
        """Names of the variables that are meant as settings, those of the image's own script left out."""
        return tuple(name for name in self._environment if name.startswith("GF_") and name not in _OF_THE_IMAGE)


def variable(section: str, key: str) -> str:
    """The variable that goes before a setting in the file."""
    return f"GF_{section}_{key}".upper().replace(".", "_").replace("-", "_")


def _unquoted(value: str) -> str:
    for mark in ('"""', "`", '"', "'"):
        if len(value) >= 2 * len(mark) and value.startswith(mark) and value.endswith(mark):
            return value[len(mark) : -len(mark)]
    return value
