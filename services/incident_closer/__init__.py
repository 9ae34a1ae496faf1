"""Closes the pager's incidents of alerts that are silenced or inhibited (requirement A2, ADR 0013).

Runs beside each Alertmanager as ``python3 -m services.incident_closer --config FILE``.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from services.runtime.settings import File, ServerSettings, SettingsModel, Text, broken_rule, checked

_Https = Annotated[
    str,
    checked(
        lambda value: isinstance(value, str) and urlsplit(value).scheme == "https" and bool(urlsplit(value).hostname),
        "an https:// address",
    ),
    BeforeValidator(lambda value: value.rstrip("/") if isinstance(value, str) else value),
]


def _receivers(value: Any) -> Any:
    if not isinstance(value, dict):
        raise broken_rule("receivers must be a mapping of the receivers that ring a phone")
    return value


class Paged(SettingsModel):
    """A receiver that rings a phone.

    Attributes:
        route: What Alertmanager calls its route where it names groups, for example ``{}/{severity="critical"}``.
        key_file: The routing key.
    """

    route: Text
    key_file: File


class Alertmanager(SettingsModel):
    """The Alertmanager beside it."""

    url: _Https
    ca_file: File
    user: Text
    password_file: File


class Pager(SettingsModel):
    """Where events are handed over (PagerDuty's events, version 2); without ``ca_file``: a public authority."""

    url: _Https
    ca_file: Annotated[
        File | None,
        checked(
            lambda value: value is None or (bool(value) and not isinstance(value, int | list | dict)),
            "a file, or null for the public authorities",
        ),
    ]


class IncidentCloserSettings(ServerSettings):
    """What the closer needs.

    Attributes:
        receivers: Name of a receiver that rings a phone -> what its incidents are called.
    """

    alertmanager: Alertmanager
    pager: Pager
    receivers: Annotated[dict[str, Paged], BeforeValidator(_receivers)]
