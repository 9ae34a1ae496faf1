"""Visualization: Grafana with its database, and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.contracts import Credential, DatabaseEndpoint, KafkaEndpoint, OidcEndpoint, SearchEndpoint
from components.dashboards import drilldowns
from components.dashboards import grafana as dashboard_json
from components.dashboards.grafana import Plugins, trace_link
from components.dashboards.registry import DASHBOARDS
from components.grafana.component import Grafana, GrafanaArgs, Logs
from components.grafana.content import FOLDERS, HOME, GrafanaContent, GrafanaContentArgs
from components.grafana.login import Directory, Groups, OidcLogin
from components.grafana.process import WORKLOAD as GRAFANA
from components.grafana.sources import LogsPlugin
from components.postgres.component import Postgres, PostgresArgs
from components.postgres.config import WORKLOAD as POSTGRES
from components.postgres.config import PostgresDatabase
from components.prometheus.query import WORKLOAD as QUERY
from components.reports import WORKLOAD as REPORT_SERVER
from components.reports import Kind, Mail, Reports, ReportsArgs
from components.search.indices import LOGS
from components.storage_roles import REPORT_PREFIX, StorageRole
from stacks.endpoints import PlatformInputs, load_balancer_options
from stacks.secrets import database_secrets, directory_secrets, grafana_oidc_secrets, object_storage
from stacks.settings import Role, Settings
from stacks.stage_settings import Ldap

TOKEN = "obs:platform:Visualization"  # noqa: S105  (a type token)
_DATABASE = "grafana"
LOG_PLUGINS: Mapping[str, LogsPlugin] = {
    "elasticsearch": LogsPlugin.ELASTICSEARCH,
    "opensearch": LogsPlugin.OPENSEARCH,
}


@dataclass(frozen=True, kw_only=True)
class VisualizationArgs:
    """What people look at, and where it comes from.

    Attributes:
        inputs: What every part is built from.
        kafka: Where reports read notifications.
        search: Where logs are read.
        authority: PEM of the platform's authority.
    """

    inputs: PlatformInputs
    kafka: KafkaEndpoint
    search: SearchEndpoint
    authority: pulumi.Input[str]


class Visualization(pulumi.ComponentResource):
    """Grafana's database, Grafana, its content, reports.

    Attributes:
        database: Grafana's database.
        grafana: Dashboards.
        reports: Reports by mail and in the object storage.
    """

    database: DatabaseEndpoint
    grafana: Grafana
    reports: Reports

    def __init__(self, name: str, args: VisualizationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        inputs, parent = args.inputs, pulumi.ResourceOptions(parent=self)
        embedded = inputs.settings.database.embedded is not None
        self.database = (
            Postgres(POSTGRES, _postgres(inputs), parent).databases[_DATABASE]
            if embedded
            else _external_database(inputs.settings)
        )
        self.grafana = Grafana(GRAFANA, _grafana(args, self.database), parent)
        GrafanaContent("grafana-content", _content(args, self.grafana), parent)
        self.reports = Reports("reports", _reports(inputs, args.kafka), parent)
        self.register_outputs({})


def _postgres(inputs: PlatformInputs) -> PostgresArgs:
    embedded, sizing = inputs.settings.database.embedded, inputs.sizing.visualization
    assert embedded is not None
    return PostgresArgs(
        context=inputs.context,
        scrape=inputs.endpoints.scrapes[POSTGRES],
        databases=[PostgresDatabase(name=_DATABASE, owner=_DATABASE)],
        standbys=embedded.standbys,
        primary=embedded.primary,
        resources=sizing.database,
        exporter_resources=sizing.exporter,
        storage=inputs.settings.storage.database,
        shared_buffers=sizing.shared_buffers,
        max_connections=sizing.connections,
    )


def _external_database(settings: Settings) -> DatabaseEndpoint:
    external = settings.database.external
    assert external is not None
    password, authority = database_secrets()
    return DatabaseEndpoint(
        host=external.host,
        port=external.port,
        name=external.name,
        user=Credential(username=external.user, password=password, bcrypt=pulumi.Output.secret("kept elsewhere")),
        authority=authority,
        networks=external.networks,
    )


def _grafana(args: VisualizationArgs, database: DatabaseEndpoint) -> GrafanaArgs:
    inputs = args.inputs
    settings, sizing, endpoints = inputs.settings.grafana, inputs.sizing.visualization, inputs.endpoints
    external_endpoint, ldap = settings.external_endpoint, settings.ldap
    return GrafanaArgs(
        context=inputs.context,
        scrape=endpoints.scrapes[GRAFANA],
        replicas=sizing.grafanas,
        resources=sizing.grafana,
        address=external_endpoint.address,
        client_cidrs=external_endpoint.client_cidrs,
        load_balancer=load_balancer_options(inputs.settings, external_endpoint),
        hosts=[external_endpoint.host],
        database=database,
        connections=sizing.grafana_connections,
        directory=_directory(ldap) if ldap else None,
        directory_secrets=directory_secrets() if ldap else None,
        query=endpoints.query,
        alertmanager=endpoints.alertmanager,
        logs=Logs(
            search=args.search,
            user=GRAFANA,
            index=f"{LOGS}-read",
            plugin=LOG_PLUGINS[inputs.settings.search.engine],
        ),
        traces=endpoints.trace_reader,
        trace_dashboard=trace_link("", ""),
        oidc=_oidc(inputs.settings),
        autoscale=sizing.grafana_autoscale,
    )


def _directory(ldap: Ldap) -> Directory:
    return Directory(
        **{name: value for name, value in ldap.model_dump().items() if name != "groups"},
        groups=Groups(**ldap.groups.model_dump()),
    )


def _oidc(settings: Settings) -> OidcLogin | None:
    oidc = settings.grafana.oidc
    if oidc is None:
        return None
    client_secret, authority = grafana_oidc_secrets()
    return OidcLogin(
        endpoint=OidcEndpoint(
            issuer=oidc.issuer,
            port=oidc.port,
            client_id=oidc.client_id,
            client_secret=client_secret,
            networks=oidc.networks,
            authority=authority,
        ),
        authorize_url=oidc.authorize_url,
        token_url=oidc.token_url,
        userinfo_url=oidc.userinfo_url,
        groups=Groups(**oidc.groups.model_dump()),
    )


def _content(args: VisualizationArgs, grafana: Grafana) -> GrafanaContentArgs:
    settings = args.inputs.settings
    plugins = Plugins(logs=str(LOG_PLUGINS[settings.search.engine]))
    return GrafanaContentArgs(
        grafana=grafana.endpoint,
        authority=args.authority,
        folders=FOLDERS,
        dashboards={
            **{dashboard.uid: dashboard_json.text(dashboard, plugins) for dashboard in DASHBOARDS},
            **drilldowns.texts(plugins),
        },
        home=HOME,
        time_zone=settings.grafana.time_zone,
    )


def _reports(inputs: PlatformInputs, kafka: KafkaEndpoint) -> ReportsArgs:
    settings, sizing, endpoints = inputs.settings, inputs.sizing.visualization, inputs.endpoints
    recipients = settings.reports.recipients
    return ReportsArgs(
        context=inputs.context,
        scrape=endpoints.scrapes[REPORT_SERVER],
        query=endpoints.query,
        query_workload=QUERY,
        kafka=kafka,
        storage=object_storage(settings, REPORT_PREFIX, StorageRole.REPORT_WRITER),
        server_storage=object_storage(settings, REPORT_PREFIX, StorageRole.REPORT_READER),
        mail=_mail(inputs),
        recipients={kind: getattr(recipients, kind.value) for kind in Kind} if recipients else {},
        time_zone=settings.reports.time_zone,
        languages=settings.reports.languages,
        resources=sizing.report,
        report_server_resources=sizing.report_server,
        suspended=inputs.role is Role.STANDBY,
    )


def _mail(inputs: PlatformInputs) -> Mail | None:
    """The mail server of the reports; the same as that of notifications."""
    alerting, secrets = inputs.settings.alerting, inputs.endpoints.channel_secrets
    mail = alerting.channels.mail
    if mail is None:
        return None
    return Mail(
        server=mail.server,
        sender=mail.sender,
        user=mail.user,
        password=secrets.apply(lambda known: str(known["mail_password"])),
        authority=secrets.apply(lambda known: str(known["authority"])),
        networks=alerting.networks,
        port=int(mail.server.rpartition(":")[2]),
    )
