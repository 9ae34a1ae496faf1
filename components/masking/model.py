"""What a masking rule is made of. Patterns are RE2, as the collector's own regular expressions are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DataClass(StrEnum):
    """Kinds of data that must not leave the gateway."""

    NAME = "name"
    MAIL = "mail"
    PHONE = "phone"
    ADDRESS = "postal address"
    IP = "IP address"
    POSITION = "precise position"
    MY_NUMBER = "My Number"
    CARD = "card number"
    TOKEN = "token"  # noqa: S105  (a class of data)
    PASSWORD = "password"  # noqa: S105  (a class of data)
    KEY = "private key"
    COOKIE = "cookie"
    JWT = "JWT"


class Phase(StrEnum):
    """When a rule runs, and whether the allow list exempts values from it."""

    SECRETS = "secrets"
    NUMBERS = "numbers"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Finds one kind of data in any text and puts a marker in its place.

    Attributes:
        id: Name, unique among the rules.
        data_class: What it finds.
        pattern: RE2 expression, applied to normalised text.
        replacement: What takes the place; ``$1`` is the first group.
        guards: Names of `components.masking.triggers.GUARDS`; the rule is tried only on a record that has one of them.
        phase: `Phase.NUMBERS` for rules that harmless numbers resemble.
        keys: Whether an attribute is removed when its key matches.
        again: Whether the pattern takes the character after a match, so that neighbours need a second round.
        dirty: Text -> what must not be readable in it afterwards.
        clean: Text that resembles a match and must stay as it is.
    """

    id: str
    data_class: DataClass
    pattern: str
    replacement: str
    guards: tuple[str, ...]
    phase: Phase = Phase.SECRETS
    keys: bool = False
    again: bool = False
    dirty: tuple[tuple[str, str], ...]
    clean: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CheckedNumber:
    """A number that counts only when its check digit is right.

    Attributes:
        id: Name.
        data_class: What it is.
        pattern: RE2 expression with the group ``n`` around the number.
        replacement: Marker.
        check: ``luhn`` or ``my-number``.
        bare: Whether it is looked for in numbers, too, and not in texts only.
        not_like: RE2 expression (of the bare digits) of what is something else even if the check digit is right.
    """

    id: str
    data_class: DataClass
    pattern: str
    replacement: str
    check: str
    bare: bool
    not_like: str
    dirty: tuple[tuple[str, str], ...]
    clean: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A replacement that prepares text for the rules.

    Attributes:
        why: What it is for.
        pattern: RE2 expression.
        replacement: What takes the place.
        guard: RE2 expression on the record's text in lower case; the step is left out where it does not match.
        flag: Name of `components.masking.triggers.FLAGS`, in place of a guard.
        keys: Whether it is applied to attribute keys as well.
    """

    why: str
    pattern: str
    replacement: str
    guard: str = ""
    flag: str = ""
    keys: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyRule:
    """Attributes that are removed (or hashed) for their key, whatever they hold.

    Attributes:
        id: Name.
        data_class: What such attributes hold.
        pattern: RE2 expression that the whole key, or its end behind a separator, must match; case is ignored.
        dirty: Keys that match.
        clean: Keys that resemble them and stay.
    """

    id: str
    data_class: DataClass
    pattern: str
    dirty: tuple[str, ...]
    clean: tuple[str, ...]
