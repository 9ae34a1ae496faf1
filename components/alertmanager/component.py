"""The Alertmanager cluster: pods, volumes, passwords, secrets of the channels, and addresses (requirements A1, A2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components import naming
from components.alerting.escalation import TIMINGS, Timing
from components.alertmanager.config import (
    CLOSER_FILE,
    CLOSER_PASSWORD_FILE,
    CLOSER_PORT,
    CLOSER_PORT_NAME,
    GOSSIP_PORT,
    WEB_DIRECTORY,
    WEB_PORT,
    AlertmanagerConfig,
    alertmanager_config,
    alertmanager_container,
    closer_container,
    closer_settings,
    gossip_config,
    paged_routes,
    rendered,
    template_files,
)
from components.alertmanager.receivers import (
    AUTHORITY_FILE,
    AWS_FILE,
    EVENTS_PASSWORD_FILE,
    HEARTBEAT_FILE,
    MAIL_PASSWORD_FILE,
    Channels,
    EventsWebhook,
    phone_file,
    slack_file,
)
from components.contracts import AlertEventsEndpoint, AlertmanagerEndpoint, AlertReceiver, Credential, ScrapeTarget
from components.k8s import (
    Allow,
    DeploymentContext,
    LoadBalancerOptions,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    load_balancer,
    network,
    network_policy,
    personal_login,
    secret_files,
    stateful_set,
    with_access,
    workload_pods,
)
from components.rules import Inhibition, Severity
from components.web_access import client_config, web_file


def receiver_files(channels: Channels, secrets: pulumi.Input[Mapping[str, Any]]) -> dict[str, pulumi.Output[str]]:
    """File name -> secret; every contact that is paged or told by Slack has one for that.

    Args:
        channels: Who is notified.
        secrets: As ``AlertmanagerArgs.secrets`` describes them.
    """
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.secret(secrets)

    def of(choose: Callable[[Mapping[str, Any]], object]) -> pulumi.Output[str]:
        return known.apply(lambda values: str(choose(values) or ""))

    def key_of(contact: str) -> pulumi.Output[str]:
        return of(lambda values: values["phone_keys"][contact])

    def webhook_of(contact: str) -> pulumi.Output[str]:
        return of(lambda values: values["slack_urls"][contact])

    return {
        **{phone_file(contact): key_of(contact) for contact in channels.phones},
        **{slack_file(contact): webhook_of(contact) for contact in channels.slacks},
        **({MAIL_PASSWORD_FILE: of(lambda values: values["mail_password"])} if channels.mails else {}),
        **({AWS_FILE: of(aws_file)} if channels.texts else {}),
        **({HEARTBEAT_FILE: of(lambda values: values["heartbeat_url"])} if channels.heartbeat else {}),
        AUTHORITY_FILE: of(lambda values: values["authority"]),
    }


def has_authority(secrets: pulumi.Input[Mapping[str, Any]]) -> pulumi.Output[bool]:
    """Whether the receivers have an authority of their own; that alone is no secret."""
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.from_input(secrets)
    return pulumi.Output.unsecret(known.apply(lambda values: bool(values["authority"])))


def aws_file(secrets: Mapping[str, Any]) -> str:
    """The credentials file by which SNS is called."""
    return (
        "[default]\n"
        f"aws_access_key_id = {secrets['sms_access_key_id']}\n"
        f"aws_secret_access_key = {secrets['sms_secret_access_key']}\n"
    )


TOKEN = "obs:alertmanager:Alertmanager"  # noqa: S105  (a type token)
WORKLOAD = "alertmanager"
_LEAST = 2


@dataclass(frozen=True, kw_only=True)
class AlertmanagerArgs:
    """What the Alertmanager cluster needs.

    Attributes:
        context: Deployment context.
        endpoint: Where people and tools read alerts: `alertmanager_endpoint`. Its members are the pods, 2 or more.
        receiver: Where every Prometheus sends its alerts: `alertmanager_receiver`.
        scrape: Its metrics endpoint.
        closer_scrape: That of what closes the pager's incidents of muted alerts; None where nobody is paged, and so
            nothing has to be closed.
        resources: Of each member.
        closer: Of what closes the pager's incidents of muted alerts, beside each member.
        storage: Size of each member's volume (silences, log of notifications).
        channels: Who can be notified, and where notifications are handed over.
        secrets: ``phone_keys`` (contact -> routing key), ``slack_urls`` (contact -> webhook), ``mail_password`` where
            somebody gets mail, ``sms_access_key_id`` and ``sms_secret_access_key`` where somebody is told by SMS,
            ``heartbeat_url`` where there is a dead man's switch, and ``authority``: PEM of the authority that signs the
            receivers' certificates, empty for public ones.
        events: Where every notification is told, too (requirement A3).
        escalation: Priority -> contact that is told of alerts that nobody acknowledged.
        inhibitions: Which alerts keep which other ones quiet.
        networks: Networks in which the receivers are; none where there is no receiver.
        ports: Their ports.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks of people and tools.
        load_balancer: What the cloud's load balancer is told.
        hosts: Host names of the load balancer, for the certificate.
        timings: Timing of the notifications of each priority.
    """

    context: DeploymentContext
    endpoint: AlertmanagerEndpoint
    receiver: AlertReceiver
    scrape: ScrapeTarget
    closer_scrape: ScrapeTarget | None
    resources: Resources
    closer: Resources
    storage: str
    channels: Channels
    secrets: pulumi.Input[Mapping[str, Any]]
    events: AlertEventsEndpoint
    escalation: Mapping[Severity, str]
    inhibitions: Sequence[Inhibition]
    networks: Sequence[str]
    ports: Sequence[int]
    address: str | None
    client_cidrs: Sequence[str]
    load_balancer: LoadBalancerOptions
    hosts: Sequence[str] = ()
    timings: Mapping[Severity, Timing] = field(default_factory=lambda: TIMINGS)

    def __post_init__(self) -> None:
        if self.replicas < _LEAST:
            raise ValueError(
                f"alertmanager.replicas is {self.replicas}: at least {_LEAST}, else nobody is notified when it restarts"
            )
        if (self.closer_scrape is None) == bool(self.channels.phones):
            raise ValueError("alertmanager.closer_scrape is for contacts with a phone, and for nobody else: match both")

    @property
    def replicas(self) -> int:
        """Number of members."""
        return len(self.endpoint.members)


@dataclass(frozen=True, kw_only=True)
class _Users:
    """Who may use the API. Alertmanager knows users, not rights: each of them may read, send and silence.

    ``closer`` is no user of it: that one may read the metrics of the container beside it.
    """

    prometheus: Credential
    operator: Credential
    probe: Credential
    scrape: Credential
    people: Credential | None
    closer: Credential | None

    def all(self) -> tuple[Credential, ...]:
        return (self.prometheus, self.operator, self.probe, self.scrape, *([self.people] if self.people else []))


def alertmanager_endpoint(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    replicas: int,
    address: str | None,
    hosts: Sequence[str] = (),
    people_url: str | None = None,
) -> AlertmanagerEndpoint:
    """Where people and tools will read alerts and silence them, with the operator's password.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
        replicas: Members.
        address: Load balancer address to ask for, or None.
        hosts: Host names of the load balancer.
        people_url: Where people come in by accounts of their own, or None.
    """
    host = next(iter(hosts), None) or address or context.host(WORKLOAD)
    return AlertmanagerEndpoint(
        url=f"https://{host}:{WEB_PORT}",
        internal_url=f"https://{context.host(WORKLOAD)}:{WEB_PORT}",
        members=tuple(f"{WORKLOAD}-{index}" for index in range(replicas)),
        port=WEB_PORT,
        server_name=context.host(WORKLOAD),
        access_label=naming.access_label(WORKLOAD),
        operator=credential(parent, name=f"{WORKLOAD}-operator", username="operator"),
        people=personal_login(parent, server=WORKLOAD, url=people_url),
    )


def alertmanager_receiver(parent: pulumi.Resource, context: DeploymentContext) -> AlertReceiver:
    """Where every Prometheus will send its alerts, with its password: to each member.

    Args:
        parent: Component that owns the password.
        context: Deployment context.
    """
    return AlertReceiver(
        name=WORKLOAD,
        workload=WORKLOAD,
        srv=context.srv(WORKLOAD),
        port=WEB_PORT,
        server_name=context.host(WORKLOAD),
        path_prefix="/",
        credential=credential(parent, name=f"{WORKLOAD}-prometheus", username="prometheus"),
        access_label=naming.access_label(WORKLOAD),
    )


class Alertmanager(pulumi.ComponentResource):
    """Members that agree by gossip on who tells what.

    Attributes:
        endpoint: Where people and tools read alerts and silence them.
        receiver: Where each Prometheus sends alerts.
        scrape: Its own metrics.
        closer_scrape: Those of what closes the pager's incidents of muted alerts, or None.
    """

    endpoint: AlertmanagerEndpoint
    receiver: AlertReceiver
    scrape: ScrapeTarget
    closer_scrape: ScrapeTarget | None

    def __init__(self, name: str, args: AlertmanagerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        users = self._users(args)
        self.scrape, self.closer_scrape = args.scrape, args.closer_scrape
        self.receiver, self.endpoint = args.receiver, args.endpoint
        headless_service(
            self,
            context,
            workload=WORKLOAD,
            ports={
                naming.METRICS_PORT: WEB_PORT,
                "gossip": GOSSIP_PORT,
                **({CLOSER_PORT_NAME: CLOSER_PORT} if args.closer_scrape else {}),
            },
        )
        self._network(args)
        pods = stateful_set(
            self,
            context,
            self._workload(args, users),
            claims=[StorageClaim(name="data", size=args.storage)],
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports={"https": WEB_PORT},
            address=args.address,
            source_ranges=args.client_cidrs,
            options=args.load_balancer,
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": self.endpoint.url})

    def _users(self, args: AlertmanagerArgs) -> _Users:
        return _Users(
            prometheus=args.receiver.credential,
            operator=args.endpoint.operator,
            probe=credential(self, name=f"{WORKLOAD}-probe", username="probe"),
            scrape=args.scrape.credential,
            people=args.endpoint.people.credential if args.endpoint.people else None,
            closer=args.closer_scrape.credential if args.closer_scrape else None,
        )

    def _network(self, args: AlertmanagerArgs) -> None:
        access, clients = args.endpoint.access_label, [network(cidr) for cidr in args.client_cidrs]
        network_policy(
            self,
            args.context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=[workload_pods(WORKLOAD)], ports=[GOSSIP_PORT]),
                Allow(peers=[with_access(access), with_access(naming.METRICS_ACCESS), *clients], ports=[WEB_PORT]),
                *(
                    [Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[CLOSER_PORT])]
                    if args.closer_scrape
                    else []
                ),
            ],
            egress=[
                Allow(peers=[workload_pods(WORKLOAD)], ports=[GOSSIP_PORT]),
                Allow(peers=[workload_pods(args.events.workload)], ports=[args.events.port]),
                *([Allow(peers=[network(cidr) for cidr in args.networks], ports=args.ports)] if args.networks else []),
            ],
        )

    def _workload(self, args: AlertmanagerArgs, users: _Users) -> Workload:
        context = args.context
        tls = certificate(self, context, workload=WORKLOAD, hosts=args.hosts, addresses=[args.address])
        public = config_files(
            self,
            context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={
                "alertmanager.yml": _config_file(args),
                **({CLOSER_FILE: _closer_file(args, users.probe, users.closer)} if users.closer else {}),
                "gossip.yml": rendered(gossip_config(tls.server_name)),
                **template_files(),
            },
        )
        web = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-web",
            workload=WORKLOAD,
            files={
                "web.yml": web_file(users.all()),
                "client.yml": rendered(
                    client_config(username=users.probe.username, password_file=f"{WEB_DIRECTORY}/client-password")
                ),
                "client-password": users.probe.password,
                **({CLOSER_PASSWORD_FILE: users.closer.password} if users.closer else {}),
            },
        )
        receivers = secret_files(
            self,
            context,
            name=f"{WORKLOAD}-receivers",
            workload=WORKLOAD,
            files={
                **receiver_files(args.channels, args.secrets),
                EVENTS_PASSWORD_FILE: args.events.credential.password,
            },
        )
        return Workload(
            name=WORKLOAD,
            replicas=args.replicas,
            containers=[
                alertmanager_container(
                    args.resources,
                    peers=[f"{context.pod_host(WORKLOAD, index)}:{GOSSIP_PORT}" for index in range(args.replicas)],
                    cluster=f"{context.platform}-{context.region}",
                    external_url=self.endpoint.page,
                ),
                *([closer_container(args.closer)] if users.closer else []),
            ],
            volumes=[
                Volume(name="config", files=public),
                Volume(name="web", files=web),
                Volume(name="receivers", files=receivers),
            ],
            tls=tls,
            access=[args.events.access_label],
            grace_s=60,
        )


def _config(args: AlertmanagerArgs, private_authority: bool) -> AlertmanagerConfig:
    return AlertmanagerConfig(
        channels=args.channels,
        events=EventsWebhook(
            url=args.events.url,
            username=args.events.credential.username,
            server_name=args.events.server_name,
        ),
        escalation=args.escalation,
        inhibitions=args.inhibitions,
        private_authority=private_authority,
        timings=args.timings,
    )


def _config_file(args: AlertmanagerArgs) -> pulumi.Output[str]:
    """The configuration; of the secrets it depends on one thing only: whether there is a private authority."""
    return has_authority(args.secrets).apply(lambda private: rendered(alertmanager_config(_config(args, private))))


def _closer_file(args: AlertmanagerArgs, probe: Credential, closer: Credential) -> pulumi.Output[str]:
    pager = args.channels.phone_url
    assert pager is not None

    def written(private: bool) -> str:
        return rendered(
            closer_settings(
                pager,
                paged_routes(_config(args, private)),
                user=probe.username,
                scraper=closer.username,
                private_authority=private,
            ).content()
        )

    return has_authority(args.secrets).apply(written)
