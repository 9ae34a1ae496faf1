"""Configuration of Alertmanager (requirement A2), as data: who is notified of what, how soon, and how often; and how it
runs: command line, gossip and web configuration, how it is asked whether it is there, and the containers of its pod.

No secret is in it: receivers name files. Routes are tried from top to bottom, and the first that fits is taken; what
fits none of them reaches the fallback, which people watch.

The times of the gossip are chosen in docs/adr/0012: a member that is gone is noticed within some 6 s, and until then
the other one waits 5 s before it tells what the first should have told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from components import naming
from components.alerting.escalation import PEER_TIMEOUT_S, TIMINGS, Timing, milliseconds
from components.alertmanager.receivers import (
    AUTHORITY_FILE,
    AWS_FILE,
    FIRST,
    FIRST_NOTIFICATION,
    Channel,
    Channels,
    Data,
    EventsWebhook,
    Sending,
    events_only,
    heartbeat,
    phone_file,
    receiver,
)
from components.k8s import TLS_MOUNT, Container, Mount, Probe, Resources
from components.k8s.programs import Program, python_container
from components.rules import Inhibition, Severity
from services.incident_closer import Alertmanager, IncidentCloserSettings, Paged, Pager
from services.runtime.settings import Login, Tls

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


WEB_PORT = 9093
GOSSIP_PORT = 9094
WEB_DIRECTORY = "/etc/alertmanager-web"
DATA_DIRECTORY = "/alertmanager"
CLIENT_CONFIG = f"{WEB_DIRECTORY}/client.yml"
POD_ADDRESS = "POD_IP"
"""Environment variable with the pod's own address."""
START_DELAY_S = 45
"""A member that starts tells nothing for so long: Prometheus sends each alert again within 40 s, and an alert must not
be told before the one that keeps it quiet is here."""


def alertmanager_command(
    *,
    peers: Sequence[str],
    cluster: str,
    external_url: str,
    directory: str = DATA_DIRECTORY,
    start_delay_s: int = START_DELAY_S,
) -> list[str]:
    """Program and arguments.

    Args:
        peers: ``host:port`` of every member's gossip, its own among them.
        cluster: Name of the cluster: members of another one are not let in.
        external_url: Where people reach it.
        directory: Where silences and the log of notifications are kept.
        start_delay_s: Seconds after the start in which nothing is told.
    """
    return [
        "/bin/alertmanager",
        f"--config.file={CONFIG_DIRECTORY}/alertmanager.yml",
        f"--web.config.file={WEB_DIRECTORY}/web.yml",
        f"--web.listen-address=0.0.0.0:{WEB_PORT}",
        f"--web.external-url={external_url}",
        f"--storage.path={directory}",
        "--data.retention=120h",
        # What both members have told and silenced since is lost when both are killed at once.
        "--data.maintenance-interval=1m",
        f"--dispatch.start-delay={start_delay_s}s",
        f"--cluster.listen-address=0.0.0.0:{GOSSIP_PORT}",
        f"--cluster.advertise-address=$({POD_ADDRESS}):{GOSSIP_PORT}",
        *(f"--cluster.peer={peer}" for peer in peers),
        f"--cluster.label={cluster}",
        f"--cluster.tls-config={CONFIG_DIRECTORY}/gossip.yml",
        f"--cluster.peer-timeout={PEER_TIMEOUT_S}s",
        "--cluster.probe-interval=1s",
        "--cluster.probe-timeout=500ms",
        "--cluster.pushpull-interval=15s",
        "--cluster.reconnect-interval=5s",
        "--cluster.tcp-timeout=5s",
        # So that heartbeats, and failures for one contact, can be told apart.
        "--enable-feature=receiver-name-in-metrics",
        "--log.format=json",
    ]


def ready_probe_command() -> tuple[str, ...]:
    """Asks Alertmanager for its state; the password comes from a file, which an HTTP probe could not do."""
    return (
        "/bin/amtool",
        f"--alertmanager.url=https://localhost:{WEB_PORT}",
        f"--http.config.file={CLIENT_CONFIG}",
        "--no-version-check",
        "--timeout=5s",
        "cluster",
        "show",
    )


def gossip_config(server_name: str, tls_directory: str = TLS_MOUNT) -> Data:
    """TLS between the members: both sides show the workload's own certificate, no other one is let in.

    Args:
        server_name: Name in the certificate of every member.
        tls_directory: Folder of the certificate.
    """
    certificate = {"cert_file": f"{tls_directory}/tls.crt", "key_file": f"{tls_directory}/tls.key"}
    return {
        "tls_server_config": {
            **certificate,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": f"{tls_directory}/ca.crt",
            "client_allowed_sans": [server_name],
            "min_version": "TLS12",
        },
        "tls_client_config": {
            **certificate,
            "ca_file": f"{tls_directory}/ca.crt",
            "server_name": server_name,
            "min_version": "TLS12",
        },
    }


CLOSER = "incident-closer"
"""Container, and job of its metrics."""
CLOSER_PORT, CLOSER_PORT_NAME = 9095, "closer"
CLOSER_PASSWORD_FILE = "closer-password"  # noqa: S105  (a file name)
CLOSER_FILE = "incident-closer.yml"


def alertmanager_container(resources: Resources, *, peers: Sequence[str], cluster: str, external_url: str) -> Container:
    """Alertmanager, with volumes ``config``, ``web``, ``receivers`` and ``data``.

    Args:
        resources: Requests and limits.
        peers: ``host:port`` of every member's gossip.
        cluster: Name of the cluster.
        external_url: Where people reach it.
    """
    return Container(
        name="alertmanager",
        image="alertmanager",
        command=alertmanager_command(peers=peers, cluster=cluster, external_url=external_url),
        resources=resources,
        ports={naming.METRICS_PORT: WEB_PORT, "gossip": GOSSIP_PORT},
        env={
            "AWS_SHARED_CREDENTIALS_FILE": f"{SECRETS_DIRECTORY}/{AWS_FILE}",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        env_fields={POD_ADDRESS: "status.podIP"},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="receivers", path=SECRETS_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
        ],
        startup=Probe(command=ready_probe_command(), period_s=3, timeout_s=10, failures=40),
        liveness=Probe(tcp=WEB_PORT, period_s=15, failures=4),
        # Not before it tells alerts: a roll must never find both members waiting.
        readiness=Probe(
            command=ready_probe_command(), initial_delay_s=START_DELAY_S + 5, period_s=15, timeout_s=10, failures=2
        ),
        pre_stop_sleep_s=5,
        working_dir=DATA_DIRECTORY,
    )


def closer_container(resources: Resources) -> Container:
    """What closes the pager's incidents of muted alerts, with the volumes of Alertmanager.

    Args:
        resources: Requests and limits.
    """
    program = Program(
        module="incident_closer",
        container=CLOSER,
        resources=resources,
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="receivers", path=SECRETS_DIRECTORY),
        ],
    )
    return python_container(
        program,
        settings_file=f"{CONFIG_DIRECTORY}/{CLOSER_FILE}",
        port=CLOSER_PORT,
        port_name=CLOSER_PORT_NAME,
        # It is ready whether or not the pager answers: a member must not leave its Service for that.
        ready_every_s=10,
    )


def closer_settings(
    pager_url: str,
    receivers: Mapping[str, PagedRoute],
    *,
    user: str,
    scraper: str,
    private_authority: bool,
    alertmanager_url: str = f"https://localhost:{WEB_PORT}",
    listen: str = f"0.0.0.0:{CLOSER_PORT}",
    auth_directory: str = WEB_DIRECTORY,
    tls_directory: str = TLS_MOUNT,
    secrets_directory: str = SECRETS_DIRECTORY,
) -> IncidentCloserSettings:
    """The settings of ``services.incident_closer``.

    Args:
        pager_url: Where the pager takes events.
        receivers: Receiver that rings a phone -> its route.
        user: Login name at Alertmanager.
        scraper: User that reads the metrics.
        private_authority: Whether the pager's certificate is signed by an authority that is not public.
        alertmanager_url: The Alertmanager beside it.
        listen: Where it answers whether it works.
        auth_directory: Folder with both passwords.
        tls_directory: Folder of the pod's certificate.
        secrets_directory: Folder with the routing keys.
    """
    return IncidentCloserSettings(
        listen=listen,
        tls=Tls(cert_file=Path(f"{tls_directory}/tls.crt"), key_file=Path(f"{tls_directory}/tls.key")),
        metrics=Login(user=scraper, password_file=Path(f"{auth_directory}/{CLOSER_PASSWORD_FILE}")),
        alertmanager=Alertmanager(
            url=alertmanager_url,
            ca_file=Path(f"{tls_directory}/ca.crt"),
            user=user,
            password_file=Path(f"{auth_directory}/client-password"),
        ),
        pager=Pager(
            url=pager_url, ca_file=Path(f"{secrets_directory}/{AUTHORITY_FILE}") if private_authority else None
        ),
        receivers={
            name: Paged(route=route.key, key_file=Path(f"{secrets_directory}/{phone_file(route.contact)}"))
            for name, route in receivers.items()
        },
    )
