"""The failover agent: Alertmanager notifies about telemetry's alerts only while the region holds the lease.

It follows the lease in the witness bucket and never writes it. When it is not there itself, what it made last stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, model_validator

from services.regions import RegionName
from services.runtime.settings import (
    BucketSettings,
    File,
    Login,
    ServerSettings,
    SettingsModel,
    Text,
    above_zero,
    broken_rule,
    checked,
    is_host_port,
    is_url,
)

Role = Literal["primary", "standby"]
ROLES: tuple[Role, ...] = get_args(Role)
PRIMARY, STANDBY = ROLES
_LEAST_POLLS = 3
_Seconds = Annotated[int | float, above_zero("seconds")]


def _role(value: Any) -> Any:
    if value not in ROLES:
        raise broken_rule(f"role is {value!r}; allowed: {', '.join(ROLES)}")
    return value


def _several(where: str, what: str, example: str, check: Callable[[Any], bool]) -> BeforeValidator:
    """A list of one or more, none of them twice."""

    def validate(value: Any) -> Any:
        texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        if not texts or not value or len(set(value)) != len(value):
            raise broken_rule(f"{where} is {value!r}; it must be a list of one {what} or more, none of them twice")
        for item in value:
            if not check(item):
                raise broken_rule(f"{where} has {item!r}; each must be {what}{example}")
        return value

    return BeforeValidator(validate)


def _fingerprints(value: Any) -> Any:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) and text for pair in value.items() for text in pair
    ):
        raise broken_rule("fingerprints must be a mapping of names to hashes, for example rules: 3fa9c1...")
    return value


class Alertmanagers(SettingsModel):
    """Every member of the region's Alertmanager cluster, each by its own address.

    Attributes:
        urls: ``https://host:port`` of each.
        server_name: Name that their certificates must hold; None: the host of the address.
        ca_file: Authority of their certificates.
        user: Who may silence.
        password_file: File with the password.
    """

    urls: Annotated[tuple[str, ...], _several("alertmanagers.urls", "https://host:port", "", is_url)]
    server_name: Annotated[
        str | None,
        checked(
            lambda value: value is None or (isinstance(value, str) and bool(value)), "null or a text that is not empty"
        ),
    ]
    ca_file: File
    user: Text
    password_file: File

    @property
    def login(self) -> Login:
        """Who may silence."""
        return Login(user=self.user, password_file=self.password_file)


class FailoverAgentSettings(ServerSettings):
    """Settings of the failover agent of one region.

    Attributes:
        region: Its name, as in the lease.
        role: Holds the lease as long as nobody wrote one: ``primary``.
        peer: The other region, or None.
        witness: The bucket with the lease.
        alertmanagers: What follows the lease.
        egress_targets: ``host:port`` of those that notifications are handed over to: while one of them can be reached,
            a witness that is away silences nobody.
        fingerprints: What -> hash of it, compared with the other region's.
        poll_interval_s: Seconds between polls of the lease, and of each Alertmanager.
        heartbeat_interval_s: Seconds between heartbeats.
        isolated_s: Seconds without witness and without anybody outside, after which the region falls silent.
    """

    region: RegionName
    role: Annotated[Role, BeforeValidator(_role)]
    peer: RegionName | None
    witness: BucketSettings
    alertmanagers: Alertmanagers
    egress_targets: Annotated[
        tuple[str, ...],
        _several("egress_targets", "host:port", ", for example events.pagerduty.com:443", is_host_port),
    ]
    fingerprints: Annotated[dict[str, str], BeforeValidator(_fingerprints)]
    poll_interval_s: _Seconds
    heartbeat_interval_s: _Seconds
    isolated_s: _Seconds

    @property
    def egress_addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each of `egress_targets`."""
        parts = (target.rpartition(":") for target in self.egress_targets)
        return tuple((host.strip("[]"), int(port)) for host, _, port in parts)

    @model_validator(mode="after")
    def _sensible(self) -> FailoverAgentSettings:
        if self.peer == self.region:
            raise broken_rule(f"peer is {self.peer!r}, the region itself; it must be the other region, or null")
        if self.isolated_s < _LEAST_POLLS * self.poll_interval_s:
            raise broken_rule(
                f"isolated_s is {self.isolated_s!r}; it must be {_LEAST_POLLS} times poll_interval_s or more, so that "
                "one poll that fails silences nobody"
            )
        return self
