"""Configuration of Alertmanager (requirement A2), as data: who is told of what, how soon, and how often.

No secret is in it: receivers name files. Routes are tried from top to bottom, and the first that fits is taken; what
fits none of them reaches the fallback, which people watch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from components.alertmanager.contacts import FIRST, FIRST_NOTICE, Channel, Channels
from components.alertmanager.receivers import Data, EventsWebhook, Sending, events_only, heartbeat, receiver
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
"""Alerts that are equal in these are one notice: a storm of one kind is no storm of notices."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When a group of alerts is told, as Prometheus durations.

    Attributes:
        group_wait: Before the first notice, so that alerts of one cause are in one notice.
        group_interval: Before news of the group (another alert, one that resolved); also between attempts.
        repeat_interval: Before the same is told again.
    """

    group_wait: str
    group_interval: str
    repeat_interval: str

    def data(self) -> Data:
        """As a route has it."""
        return {
            "group_wait": self.group_wait,
            "group_interval": self.group_interval,
            "repeat_interval": self.repeat_interval,
        }


TIMINGS: Mapping[Severity, Timing] = {
    Severity.CRITICAL: Timing(group_wait="1s", group_interval="15s", repeat_interval="1h"),
    Severity.HIGH: Timing(group_wait="10s", group_interval="1m", repeat_interval="4h"),
    Severity.MEDIUM: Timing(group_wait="2m", group_interval="5m", repeat_interval="24h"),
    Severity.LOW: Timing(group_wait="1m", group_interval="5m", repeat_interval="24h"),
}
HEARTBEAT_TIMING = Timing(group_wait="0s", group_interval="10s", repeat_interval="25s")
"""A heartbeat each 30 s: Alertmanager looks each 10 s, and sends when the last one is older than 25 s."""


@dataclass(frozen=True, kw_only=True)
class AlertmanagerConfig:
    """What the configuration depends on.

    Attributes:
        channels: Who can be told, and where.
        events: Where every notice is told, too.
        escalation: Priority -> contact that is told of alerts that nobody acknowledged (label ``escalation``).
        inhibitions: Which alerts keep which other ones quiet; targets with their escalated twins.
        private_authority: Whether the receivers' certificates are signed by an authority that is not public.
        timings: Timing of each priority; an escalated alert has that of its own priority.
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
        "inhibit_rules": [_inhibit_rule(each) for each in settings.inhibitions],
        "receivers": _receivers(settings),
    }


def template_files() -> dict[str, str]:
    """File name -> text of the notices' templates."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.tmpl"))}


def first_receiver(severity: Severity) -> str:
    """Name of the receiver of a priority's first notice."""
    return f"{FIRST}-{severity.value}" if severity in FIRST_NOTICE else DAILY_REPORT


def rendered(config: Mapping[str, object]) -> str:
    """YAML text."""
    return yaml.safe_dump(dict(config), sort_keys=False, width=120, allow_unicode=True)


def _routes(settings: AlertmanagerConfig) -> Data:
    escalated = [
        _route(f'escalation="{contact}"', contact, settings.timings[severity])
        for severity, contact in settings.escalation.items()
    ]
    first = [
        _route(f'severity="{severity.value}"', first_receiver(severity), timing)
        for severity, timing in settings.timings.items()
    ]
    return {
        "receiver": FALLBACK,
        "group_by": list(GROUP_BY),
        **settings.timings[Severity.HIGH].data(),
        "routes": [
            _route(f'alertname="{WATCHDOG}"', HEARTBEAT, settings.heartbeat_timing),
            *escalated,
            # Whoever it was for is not known here; it was told once, and must not be told as if it were new.
            _route('escalation!=""', FALLBACK, settings.timings[Severity.CRITICAL]),
            *first,
        ],
    }


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
    quiet = tuple(each for each in everywhere if each in (Channel.SLACK, Channel.MAIL)) or everywhere
    return [
        receiver(sending, FALLBACK, FIRST, quiet),
        heartbeat(sending, HEARTBEAT),
        *(
            receiver(sending, contact, contact, channels.contacts[contact].channels)
            for contact in dict.fromkeys(settings.escalation.values())
        ),
        *(
            receiver(sending, first_receiver(severity), FIRST, channels.first_channels(severity))
            for severity in FIRST_NOTICE
        ),
        events_only(sending, DAILY_REPORT),
    ]


def _inhibit_rule(inhibition: Inhibition) -> Data:
    return {
        "source_matchers": [_any_name(inhibition.source)],
        "target_matchers": [_any_name(inhibition.targets)],
        "equal": list(inhibition.equal),
    }


def _any_name(names: Sequence[str]) -> str:
    return f'alertname=~"{"|".join(names)}"'
