"""Kinds of values in a stack file, each with the words that say what is allowed."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from components.backups.schedule import longest_gap_s

NOT_ALLOWED = "not_allowed"
"""Error type whose message is what is allowed."""


def not_allowed(allowed: str) -> PydanticCustomError:
    """The error for a value that is not allowed; ``allowed`` completes 'allowed is ...'."""
    return PydanticCustomError(NOT_ALLOWED, "{allowed}", {"allowed": allowed})


def _pattern(pattern: str, allowed: str) -> AfterValidator:
    """A check against a regular expression."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise not_allowed(allowed)
        return value

    return AfterValidator(check)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise not_allowed("a name of the IANA time zone database such as Asia/Tokyo") from None
    return value


def _cron(value: str) -> str:
    try:
        longest_gap_s(value)
    except ValueError:
        raise not_allowed("five fields of cron: minute, hour, day of the month, month, day of the week") from None
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise not_allowed("a network such as 10.0.0.0/8, without host bits") from None
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise not_allowed("an IP address, or null to take the one the load balancer gives") from None
    return value


Name = Annotated[
    str,
    _pattern(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", "1 to 40 lower-case letters, digits and dashes that start with a letter"
    ),
]
"""A DNS label that leaves room for suffixes."""
Host = Annotated[
    str,
    _pattern(
        r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*",
        "a host name or an IP address, without port",
    ),
]
Registry = Annotated[
    str, _pattern(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*", "a registry host, if need be with port and path")
]
Digest = Annotated[str, _pattern(r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits")]
Size = Annotated[str, _pattern(r"[1-9][0-9]*(Mi|Gi|Ti)", "a size such as 500Mi, 20Gi or 2Ti")]
ByteSize = Annotated[str, _pattern(r"[1-9][0-9]*(MB|GB|TB)", "a size such as 500MB, 15GB or 2TB")]
Hours = Annotated[str, _pattern(r"[1-9][0-9]*h", "a number of hours such as 2160h")]
Days = Annotated[str, _pattern(r"[1-9][0-9]*d", "a number of days such as 30d")]
Url = Annotated[str, _pattern(r"https://[^\s/]+(/\S*)?", "an https:// address")]
Cidr = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Minutes = Annotated[str, _pattern(r"[1-9][0-9]*(s|m|h)", "a duration such as 5m or 4h")]
Mail = Annotated[str, _pattern(r"[^@\s<>,;]+@[a-z0-9.-]+", "a mail address")]
Arn = Annotated[str, _pattern(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:\S+", "the ARN of an SNS topic")]
HostPort = Annotated[str, _pattern(r"[a-z0-9.-]+:[1-9][0-9]{0,4}", "host:port")]
Word = Annotated[str, _pattern(r"[!-~]{1,200}", "printable characters without spaces")]
Dn = Annotated[
    str, _pattern(r"[A-Za-z]+=[^,=]+(,[A-Za-z]+=[^,=]+)*", "a distinguished name such as ou=people,dc=example")
]
LdapFilter = Annotated[
    str, _pattern(r"\([^%]*%s[^%]*\)", "an LDAP filter in parentheses with one %s, such as (uid=%s)")
]
Bucket = Annotated[str, _pattern(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket: 3 to 63 characters")]
Zone = Annotated[str, AfterValidator(_zone)]
Database = Annotated[str, _pattern(r"[a-z_][a-z0-9_]{0,62}", "a name of PostgreSQL: lower-case letters, digits, _")]
Stack = Annotated[
    str, _pattern(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", "a stack such as organization/project/stack")
]
Cron = Annotated[str, AfterValidator(_cron)]
