"""What every group of keys of a stack file is made from: closed, with kinds of values that say what is allowed.

Every mistake becomes one line: key, value, what is allowed, what to do.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from components.backups.config import longest_gap_s
from components.telemetry.fields import NOT_ALLOWED, not_allowed, pattern
from services.runtime.settings import causes, instead, shown, value_at


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


def _cluster_ip(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise not_allowed("an IP address of the cluster's Services") from None
    return value


Name = Annotated[
    str,
    pattern(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", "1 to 40 lower-case letters, digits and dashes that start with a letter"
    ),
]
"""A DNS label that leaves room for suffixes."""
_SUBDOMAIN = r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
Host = Annotated[str, pattern(_SUBDOMAIN, "a host name or an IP address, without port")]
ObjectName = Annotated[
    str,
    pattern(_SUBDOMAIN, "the name of an object in Kubernetes: lower-case letters, digits, dashes and dots"),
]
Registry = Annotated[
    str, pattern(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*", "a registry host, if need be with port and path")
]
Uid = Annotated[
    str,
    pattern(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "the UID of the namespace kube-system, as `kubectl get namespace kube-system -o jsonpath={.metadata.uid}` says",
    ),
]
Digest = Annotated[str, pattern(r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits")]
Size = Annotated[str, pattern(r"[1-9][0-9]*(Mi|Gi|Ti)", "a size such as 500Mi, 20Gi or 2Ti")]
ByteSize = Annotated[str, pattern(r"[1-9][0-9]*(MB|GB|TB)", "a size such as 500MB, 15GB or 2TB")]
Hours = Annotated[str, pattern(r"[1-9][0-9]*h", "a number of hours such as 2160h")]
Days = Annotated[str, pattern(r"[1-9][0-9]*d", "a number of days such as 30d")]
Url = Annotated[str, pattern(r"https://[^\s/]+(/\S*)?", "an https:// address")]
Cidr = Annotated[str, AfterValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
ClusterIp = Annotated[str, AfterValidator(_cluster_ip)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Minutes = Annotated[str, pattern(r"[1-9][0-9]*(s|m|h)", "a duration such as 5m or 4h")]
Mail = Annotated[str, pattern(r"[^@\s<>,;]+@[a-z0-9.-]+", "a mail address")]
Arn = Annotated[str, pattern(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:\S+", "the ARN of an SNS topic")]
HostPort = Annotated[str, pattern(r"[a-z0-9.-]+:[1-9][0-9]{0,4}", "host:port")]
Word = Annotated[str, pattern(r"[!-~]{1,200}", "printable characters without spaces")]
Dn = Annotated[
    str, pattern(r"[A-Za-z]+=[^,=]+(,[A-Za-z]+=[^,=]+)*", "a distinguished name such as ou=people,dc=example")
]
LdapFilter = Annotated[str, pattern(r"\([^%]*%s[^%]*\)", "an LDAP filter in parentheses with one %s, such as (uid=%s)")]
Bucket = Annotated[str, pattern(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket: 3 to 63 characters")]
Zone = Annotated[str, AfterValidator(_zone)]
Database = Annotated[str, pattern(r"[a-z_][a-z0-9_]{0,62}", "a name of PostgreSQL: lower-case letters, digits, _")]
Stack = Annotated[
    str, pattern(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", "a stack such as organization/project/stack")
]
Cron = Annotated[str, AfterValidator(_cron)]


def _one_or_two(generations: tuple[int, ...]) -> tuple[int, ...]:
    if len(generations) != 1 and not (len(generations) == 2 and generations[0] == generations[1] + 1):
        raise not_allowed("one number, or two with the newer one first, such as [2, 1]")
    return generations


Generations = Annotated[tuple[Count, ...], AfterValidator(_one_or_two)]
"""Of passwords: one, or two while they change over."""


_QUALIFIED_NAME = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
QualifiedName = Annotated[str, pattern(_QUALIFIED_NAME, "a name of Kubernetes such as example.com/name")]


def _named(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if not re.fullmatch(_QUALIFIED_NAME, name):
            raise not_allowed(f"names such as example.com/name; correct or remove {name!r}")
    return values


Annotations = Annotated[dict[str, str], AfterValidator(_named)]
LabelValue = Annotated[
    str, pattern(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", "the value of a label: up to 63 characters")
]


def _labelled(values: dict[str, str]) -> dict[str, str]:
    if not values:
        raise not_allowed("at least one label")
    return _named(values)


Labels = Annotated[dict[str, LabelValue], AfterValidator(_labelled)]
NodeLabels = Annotated[dict[str, LabelValue], AfterValidator(_named)]


class SettingsModel(BaseModel):
    """A group of keys: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LoadBalancer(SettingsModel):
    """What the cloud's load balancers are told.

    Attributes:
        annotations: Annotations of the Services.
        load_balancer_class: Which controller makes the load balancers; null: the cluster's own.
    """

    annotations: Annotations
    load_balancer_class: QualifiedName | None


class ExternalHost(SettingsModel):
    """One address outside the cluster: what clients are told, and what the load balancer is asked for.

    Attributes:
        host: Name or address that clients use.
        address: Address that the load balancer is asked for, or null.
        annotations: Annotations of its Service besides those of ``load_balancers``, which they override.
        load_balancer_class: In place of that of ``load_balancers``.
    """

    host: Host
    address: Address | None
    annotations: Annotations = {}
    load_balancer_class: QualifiedName | None = None


class ExternalEndpoint(ExternalHost):
    """A load-balanced endpoint outside the cluster, and the networks that may use it."""

    client_cidrs: tuple[Cidr, ...] = Field(min_length=1)


_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
}


def validation_errors(error: ValidationError, model: type[BaseModel], content: object) -> Iterator[str]:
    """One line per mistake, in the order of the file's model.

    Args:
        error: What pydantic found.
        model: The model that was read.
        content: What was read; named values come from it.
    """
    for detail in causes(error):
        yield _line(detail, model, content)


def _line(detail: ErrorDetails, model: type[BaseModel], content: object) -> str:
    """The line about one mistake."""
    path = _path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"{path} is missing: add it (see the same key in Pulumi.prod.yaml)"
    if kind == "extra_forbidden":
        return f"{path} is not a known key: {instead(detail['loc'], model)}"
    value = value_at(detail["loc"], content)
    value_shown = "" if isinstance(value, Mapping | list) else f" is {shown(value)}"
    allowed = _KINDS.get(kind) or {
        NOT_ALLOWED: str(context.get("allowed")),
        "literal_error": f"one of {context.get('expected')}",
        "enum": f"one of {context.get('expected')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "too_short": f"a list of at least {context.get('min_length')}",
    }.get(kind, detail["msg"])
    return f"{path}{value_shown}: allowed is {allowed}; correct it"


def _path(location: tuple[int | str, ...]) -> str:
    """``("kafka", "brokers", 0, "host")`` as ``settings.kafka.brokers[0].host``."""
    text = "settings"
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text
