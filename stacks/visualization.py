"""Visualization: Grafana with its database, and reports."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.contracts import (
    AlertmanagerEndpoint,
    Credential,
    DatabaseEndpoint,
    KafkaEndpoint,
    OidcEndpoint,
    QueryEndpoint,
    ScrapeTarget,
    SearchEndpoint,
)
from components.dashboards import drilldowns
from components.dashboards import grafana as dashboard_json
from components.dashboards.registry import DASHBOARDS
from components.dashboards.sources import Plugins, trace_link
from components.grafana.component import Grafana, GrafanaArgs, Logs, TraceReader, grafana_scrape
from components.grafana.content import GrafanaContent, GrafanaContentArgs
from components.grafana.login import Directory, Groups, OidcLogin
from components.grafana.permissions import FOLDERS, HOME
from components.grafana.process import WORKLOAD as GRAFANA
from components.grafana.sources import LogsPlugin
from components.jaeger.reader import JaegerReader
from components.k8s import DeploymentContext
from components.postgres.component import Postgres, PostgresArgs
from components.postgres.config import WORKLOAD as POSTGRES
from components.postgres.config import PostgresDatabase
from components.prometheus.query import WORKLOAD as QUERY
from components.reports.component import Reports, ReportsArgs, report_server_scrape
from components.reports.config import Mail
from components.reports.schedule import Kind
from components.search.indices import LOGS
from stacks.alerting import Alerting
from stacks.object_storage import object_storage
from stacks.secrets import database_password, directory_secrets, grafana_oidc_secret
from stacks.settings import Settings
from stacks.sizing import Sizing

_DATABASE = "grafana"
LOG_PLUGINS: Mapping[str, LogsPlugin] = {
    "elasticsearch": LogsPlugin.ELASTICSEARCH,
    "opensearch": LogsPlugin.OPENSEARCH,
}


class Visualization:
    """Made in two steps: metrics endpoints first, since Prometheus has to know them, the rest once it is there.

    Attributes:
        postgres: The database, or None where it is elsewhere.
        scrapes: Metrics of all of these.
        database: Grafana's database.
        grafana: Dashboards.
        content: What is in them.
        reports: Reports by mail and in the object storage.
    """

    database: DatabaseEndpoint
    grafana: Grafana
    content: GrafanaContent
    reports: Reports

    def __init__(
        self,
        parent: pulumi.Resource,
        settings: Settings,
        sizing: Sizing,
        context: DeploymentContext,
        *,
        suspended: bool,
    ) -> None:
        self._parent, self._options = parent, pulumi.ResourceOptions(parent=parent)
        self._settings, self._sizing, self._context, self._suspended = (
            settings,
            sizing.visualization,
            context,
            suspended,
        )
        self.postgres = self._postgres()
        self._grafana_scrape, self._report_server_scrape = (
            grafana_scrape(parent, context),
            report_server_scrape(parent, context),
        )
        self.scrapes: tuple[ScrapeTarget, ...] = (
            *([self.postgres.scrape] if self.postgres else []),
            self._grafana_scrape,
            self._report_server_scrape,
        )

    def connect(
        self,
        *,
        kafka: KafkaEndpoint,
        query: QueryEndpoint,
        alerting: Alerting,
        search: SearchEndpoint,
        traces: JaegerReader | None,
        authority: pulumi.Input[str],
    ) -> None:
        """Make what asks the others.

        Args:
            kafka: Where reports read notifications.
            query: Where metrics are read.
            alerting: Where alerts are read, and the mail server.
            search: Where logs are read.
            traces: Where Grafana reads traces, or None.
            authority: PEM of the platform's authority.
        """
        self.database = self._database()
        self.grafana = self._grafana(query, alerting.alertmanager.endpoint, search, traces)
        plugins = Plugins(logs=str(LOG_PLUGINS[self._settings.search.engine]))
        self.content = GrafanaContent(
            "grafana-content",
            GrafanaContentArgs(
                grafana=self.grafana.endpoint,
                authority=authority,
                folders=FOLDERS,
                dashboards={
                    **{dashboard.uid: dashboard_json.text(dashboard, plugins) for dashboard in DASHBOARDS},
                    **drilldowns.texts(plugins),
                },
                home=HOME,
                time_zone=self._settings.grafana.time_zone,
            ),
            self._options,
        )
        self.reports = self._reports(kafka, query, alerting)

    def _postgres(self) -> Postgres | None:
        embedded = self._settings.database.embedded
        if embedded is None:
            return None
        return Postgres(
            POSTGRES,
            PostgresArgs(
                context=self._context,
                databases=[PostgresDatabase(name=_DATABASE, owner=_DATABASE)],
                standbys=embedded.standbys,
                primary=embedded.primary,
                resources=self._sizing.database,
                exporter_resources=self._sizing.exporter,
                storage=self._settings.storage.database,
                shared_buffers=self._sizing.shared_buffers,
                max_connections=self._sizing.connections,
            ),
            self._options,
        )

    def _database(self) -> DatabaseEndpoint:
        if self.postgres:
            return self.postgres.databases[_DATABASE]
        external = self._settings.database.external
        assert external is not None
        return DatabaseEndpoint(
            host=external.host,
            port=external.port,
            name=external.name,
            user=Credential(
                username=external.user, password=database_password(), bcrypt=pulumi.Output.secret("kept elsewhere")
            ),
            private_authority=False,
            networks=external.networks,
        )

    def _grafana(
        self,
        query: QueryEndpoint,
        alertmanager: AlertmanagerEndpoint,
        search: SearchEndpoint,
        traces: JaegerReader | None,
    ) -> Grafana:
        settings, sizing = self._settings.grafana, self._sizing
        external_endpoint, ldap = settings.external_endpoint, settings.ldap
        return Grafana(
            GRAFANA,
            GrafanaArgs(
                context=self._context,
                scrape=self._grafana_scrape,
                replicas=sizing.grafanas,
                resources=sizing.grafana,
                address=external_endpoint.address,
                client_cidrs=external_endpoint.client_cidrs,
                hosts=[external_endpoint.host],
                database=self.database,
                connections=sizing.grafana_connections,
                directory=Directory(
                    **{name: value for name, value in ldap.model_dump().items() if name != "groups"},
                    groups=Groups(**ldap.groups.model_dump()),
                ),
                directory_secrets=directory_secrets(),
                query=query,
                alertmanager=alertmanager,
                logs=Logs(
                    search=search,
                    user=GRAFANA,
                    index=f"{LOGS}-read",
                    plugin=LOG_PLUGINS[self._settings.search.engine],
                ),
                traces=TraceReader(url=traces.url, access_label=traces.access_label, user=traces.user)
                if traces
                else None,
                trace_dashboard=trace_link("", ""),
                oidc=self._oidc(),
                autoscale=sizing.grafana_autoscale,
            ),
            self._options,
        )

    def _oidc(self) -> OidcLogin | None:
        oidc = self._settings.grafana.oidc
        if oidc is None:
            return None
        return OidcLogin(
            endpoint=OidcEndpoint(
                issuer=oidc.issuer,
                port=oidc.port,
                client_id=oidc.client_id,
                client_secret=grafana_oidc_secret(),
                networks=oidc.networks,
            ),
            authorize_url=oidc.authorize_url,
            token_url=oidc.token_url,
            userinfo_url=oidc.userinfo_url,
            groups=Groups(**oidc.groups.model_dump()),
        )

    def _reports(self, kafka: KafkaEndpoint, query: QueryEndpoint, alerting: Alerting) -> Reports:
        settings, mail = self._settings.reports, self._settings.alerting.channels.mail
        secrets = alerting.secrets
        return Reports(
            "reports",
            ReportsArgs(
                context=self._context,
                scrape=self._report_server_scrape,
                query=query,
                query_workload=QUERY,
                kafka=kafka,
                storage=object_storage(self._settings, "reports/"),
                mail=Mail(
                    server=mail.server,
                    sender=mail.sender,
                    user=mail.user,
                    password=secrets.apply(lambda known: str(known["mail_password"])),
                    authority=secrets.apply(lambda known: str(known["authority"])),
                    networks=self._settings.alerting.networks,
                    port=int(mail.server.rpartition(":")[2]),
                ),
                recipients={kind: getattr(settings.recipients, kind.value) for kind in Kind},
                time_zone=settings.time_zone,
                languages=settings.languages,
                resources=self._sizing.report,
                report_server_resources=self._sizing.report_server,
                suspended=self._suspended,
            ),
            self._options,
        )
