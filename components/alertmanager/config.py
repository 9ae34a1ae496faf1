"""Configuration of Alertmanager (requirement A2), as data: who is notified of what, how soon, and how often.

No secret is in it: receivers name files. Routes are tried from top to bottom, and the first that fits is taken; what
fits none of them reaches the fallback, which people watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from components.alerting.escalation import TIMINGS, Timing, milliseconds
from components.alertmanager.receivers import (
    FIRST,
    FIRST_NOTIFICATION,
    Channel,
    Channels,
    Data,
    EventsWebhook,
    Sending,
    events_only,
    heartbeat,
    receiver,
)
from components.k8s import TLS_MOUNT
from components.rules import Inhibition, Severity

CONFIG_DIRECTORY = "/etc/alertmanager"
SECRETS_DIRECTORY = "/etc/alertmanager-secrets"
TEMPLATES = Path(__file__).with_name("templates")
WATCHDOG = "Watchdog"
"""The alert that always fires."""
HEARTBEAT = "heartbeat"
DAILY_REPORT = "daily-report"
FALLBACK = f"{FIRST}-fallback"
GROUP_BY = ("alertname", "severity", "escalation", "layer", "region")
"""Alerts that are equal in these are one notification: a storm of one kind is no storm of notifications."""
EACH_ALERT = ("...",)
"""How the pager's notifications are grouped: not at all. The group is the pager's ``dedup_key``, and a pager rings for
a new incident only; a second alert in the group of an open one would ring nobody (docs/adr/0013)."""
PAGED = "phone"
"""End of the name of a receiver that rings the phone, where another one tells the same contact by other channels."""
MAILED = "mail"
"""End of the name of a receiver that mails, where another one tells the same contact by other channels. Alertmanager
waits for a mail server without a limit of time, and so does its whole group, whose other channels tell nothing then."""
PAGED_REPEAT = "5m"
"""How soon the pager is told again of what still fires. It merges that into the open incident and rings nobody, but an
alert that ended while it was muted is told to Alertmanager's log by nobody: when it comes again, it is told only once
the last notification is older than this (docs/adr/0013)."""

HEARTBEAT_TIMING = Timing(group_wait="0s", group_interval="10s", repeat_interval="25s")
"""A heartbeat each 30 s: Alertmanager looks each 10 s, and sends when the last one is older than 25 s."""


@dataclass(frozen=True, kw_only=True)
class PagedRoute:
    """A route whose alerts ring a phone.

    Attributes:
        contact: Whose phone.
        matcher: Which alerts.
    """

    contact: str
    matcher: str

    @property
    def key(self) -> str:
        """What Alertmanager calls the route where it names its groups."""
        return f"{{}}/{{{self.matcher}}}"


@dataclass(frozen=True, kw_only=True)
class AlertmanagerConfig:
    """What the configuration depends on.

    Attributes:
        channels: Who can be notified, and where.
        events: Where every notification is told, too.
        escalation: Priority -> contact that is told of alerts that nobody acknowledged (label ``escalation``).
        inhibitions: Which alerts keep which other ones quiet; targets with their escalated twins.
        private_authority: Whether the receivers' certificates are signed by an authority that is not public.
        timings: Timing of each priority; an escalated alert has that of its own priority.
        paged_repeat: How soon the pager is told again of what still fires, where its priority is not told sooner.
        heartbeat_timing: Timing of the alert that always fires.
        tls_directory: Folder with the platform's ``ca.crt``.
        secrets_directory: Folder with one file for each secret.
        config_directory: Folder with the templates.
    """

    channels: Channels
    events: EventsWebhook
    escalation: Mapping[Severity, str]
    inhibitions: Sequence[Inhibition] = ()
    private_authority: bool = False
    timings: Mapping[Severity, Timing] = field(default_factory=lambda: TIMINGS)
    paged_repeat: str = PAGED_REPEAT
    heartbeat_timing: Timing = HEARTBEAT_TIMING
    tls_directory: str = TLS_MOUNT
    secrets_directory: str = SECRETS_DIRECTORY
    config_directory: str = CONFIG_DIRECTORY

    def __post_init__(self) -> None:
        for severity, contact in self.escalation.items():
            if contact not in self.channels.contacts:
                raise ValueError(
                    f"alerting.contacts has no {contact}, whom {severity} alerts escalate to: "
                    f"add it; there are {', '.join(self.channels.contacts)}"
                )


def alertmanager_config(settings: AlertmanagerConfig) -> Data:
    """Content of ``alertmanager.yml``."""
    return {
        "global": {"resolve_timeout": "5m", "smtp_require_tls": True},
        "templates": [f"{settings.config_directory}/*.tmpl"],
        "route": _routes(settings),
        "inhibit_rules": [_inhibit_rule(inhibition) for inhibition in settings.inhibitions],
        "receivers": _receivers(settings),
    }


def template_files() -> dict[str, str]:
    """File name -> text of the notifications' templates."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.tmpl"))}


def paged_receiver(name: str, channels: Sequence[Channel]) -> str | None:
    """Name of the receiver that rings the phone for receiver ``name``; None where these channels have no phone.

    It is ``name`` itself where the phone is the only channel.
    """
    if Channel.PHONE not in channels:
        return None
    return f"{name}-{PAGED}" if len(channels) > 1 else name


def split_receivers(name: str, channels: Sequence[Channel]) -> dict[str, tuple[Channel, ...]]:
    """The receivers that together are receiver ``name``: of the phone, of mail, and of the rest, which has the name."""
    parts: dict[str, tuple[Channel, ...]] = {}
    rest = tuple(channels)
    for channel, suffix in ((Channel.PHONE, PAGED), (Channel.MAIL, MAILED)):
        if channel in rest and len(rest) > 1:
            parts[f"{name}-{suffix}"] = (channel,)
            rest = tuple(other for other in rest if other is not channel)
    return {**parts, name: rest}


def paged_routes(settings: AlertmanagerConfig) -> dict[str, PagedRoute]:
    """Receiver -> the route whose alerts ring a phone; each of these has an incident of its own."""
    first = settings.channels.first_channels
    by_priority = {
        paged_receiver(first_receiver(severity), first(severity)): (FIRST, f'severity="{severity.value}"')
        for severity in FIRST_NOTIFICATION
    }
    by_contact = {
        paged_receiver(contact, settings.channels.contacts[contact].channels): (contact, f'escalation="{contact}"')
        for contact in settings.escalation.values()
    }
    return {
        name: PagedRoute(contact=contact, matcher=matcher)
        for name, (contact, matcher) in {**by_priority, **by_contact}.items()
        if name
    }


def first_receiver(severity: Severity) -> str:
    """Name of the receiver of a priority's first notification."""
    return f"{FIRST}-{severity.value}" if severity in FIRST_NOTIFICATION else DAILY_REPORT


def rendered(config: Mapping[str, object]) -> str:
    """YAML text."""
    return yaml.safe_dump(dict(config), sort_keys=False, width=120, allow_unicode=True)


def _routes(settings: AlertmanagerConfig) -> Data:
    escalated: dict[str, list[Data]] = {}
    for severity, contact in settings.escalation.items():
        used = settings.channels.contacts[contact].channels
        escalated.setdefault(
            contact, _told(settings, f'escalation="{contact}"', contact, used, settings.timings[severity])
        )
    first = [
        route
        for severity, timing in settings.timings.items()
        for route in _told(
            settings,
            f'severity="{severity.value}"',
            first_receiver(severity),
            _first_channels(settings, severity),
            timing,
        )
    ]
    return {
        "receiver": FALLBACK,
        "group_by": list(GROUP_BY),
        **settings.timings[Severity.HIGH].data(),
        "routes": [
            _route(f'alertname="{WATCHDOG}"', HEARTBEAT, settings.heartbeat_timing),
            *(route for routes in escalated.values() for route in routes),
            # Whoever it was for is not known here; it was told once, and must not be told as if it were new.
            _route('escalation!=""', FALLBACK, settings.timings[Severity.CRITICAL]),
            *first,
        ],
    }


def _first_channels(settings: AlertmanagerConfig, severity: Severity) -> tuple[Channel, ...]:
    return settings.channels.first_channels(severity) if severity in FIRST_NOTIFICATION else ()


def _told(
    settings: AlertmanagerConfig, matcher: str, name: str, channels: Sequence[Channel], timing: Timing
) -> list[Data]:
    """Routes of the alerts that a matcher meets: one for each of the receivers, the phone's rings for each alert."""
    routes = []
    for receiver_name, used in split_receivers(name, channels).items():
        if Channel.PHONE in used:
            soonest = min(timing.repeat_interval, settings.paged_repeat, key=milliseconds)
            route = _route(matcher, receiver_name, replace(timing, repeat_interval=soonest))
            routes.append({**route, "group_by": list(EACH_ALERT)})
        else:
            routes.append(_route(matcher, receiver_name, timing))
    return [*({**route, "continue": True} for route in routes[:-1]), routes[-1]]


def _route(matcher: str, receiver_name: str, timing: Timing) -> Data:
    return {"matchers": [matcher], "receiver": receiver_name, **timing.data()}


def _receivers(settings: AlertmanagerConfig) -> list[Data]:
    channels = settings.channels
    sending = Sending(
        channels=channels,
        events=settings.events,
        private_authority=settings.private_authority,
        secrets_directory=settings.secrets_directory,
        tls_directory=settings.tls_directory,
    )
    everywhere = channels.contacts[FIRST].channels
    # Nobody is called for an alert whose priority is not known, unless that is the only way.
    quiet = tuple(channel for channel in everywhere if channel in (Channel.SLACK, Channel.MAIL)) or everywhere
    return [
        receiver(sending, FALLBACK, FIRST, quiet),
        heartbeat(sending, HEARTBEAT),
        *(
            teller
            for contact in dict.fromkeys(settings.escalation.values())
            for teller in _tellers(sending, contact, contact, channels.contacts[contact].channels)
        ),
        *(
            teller
            for severity in FIRST_NOTIFICATION
            for teller in _tellers(sending, first_receiver(severity), FIRST, channels.first_channels(severity))
        ),
        events_only(sending, DAILY_REPORT),
    ]


def _tellers(sending: Sending, name: str, contact: str, channels: Sequence[Channel]) -> list[Data]:
    """Receivers of the routes that `_told` makes."""
    return [receiver(sending, part, contact, used) for part, used in split_receivers(name, channels).items()]


def _inhibit_rule(inhibition: Inhibition) -> Data:
    return {
        "source_matchers": [_any_name(inhibition.source)],
        "target_matchers": [_any_name(inhibition.targets)],
        "equal": list(inhibition.equal),
    }


def _any_name(names: Sequence[str]) -> str:
    return f'alertname=~"{"|".join(names)}"'
