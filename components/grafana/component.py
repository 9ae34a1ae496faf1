"""Grafana's replicas: pods, files, passwords, certificate, who reaches whom (requirements G1, G5, S1).

They hold nothing: content and sessions are in PostgreSQL, so any replica answers anybody, and an autoscaler may add
and take away some. It is a StatefulSet that starts one replica after the other all the same, so that a new database is
migrated by one of them (docs/adr/0023).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_random
import yaml

from components import naming
from components.contracts import Credential, GrafanaEndpoint, ScrapeTarget
from components.grafana import process
from components.grafana.arguments import GrafanaArgs
from components.grafana.config import GrafanaConfig, grafana_config, ini_text
from components.grafana.ldap import directory_files, has_authority, ldap_config, toml
from components.grafana.network import grafana_network
from components.grafana.oidc import oidc_files
from components.grafana.process import PORT, WORKLOAD, grafana_container
from components.grafana.sources import Source, sources_config
from components.k8s import (
    DeploymentContext,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    headless_service,
    load_balancer,
    own_scrape,
    secret_files,
    stateful_set,
)

TOKEN = "obs:grafana:Grafana"  # noqa: S105  (a type token)
ADMINISTRATOR = "platform-administrator"
"""The account that makes the content. Nobody in the directory may have this name."""


def grafana_scrape(parent: pulumi.Resource, context: DeploymentContext) -> ScrapeTarget:
    """Grafana's metrics endpoint: made before it, since Prometheus has to know its password."""
    return own_scrape(parent, context, WORKLOAD, PORT)


class Grafana(pulumi.ComponentResource):
    """Equal replicas behind a load balancer, over one database.

    Attributes:
        endpoint: Where people and tools reach it, and the account that makes the content.
        scrape: Its metrics.
    """

    endpoint: GrafanaEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, sources = args.context, args.sources()
        self.scrape = args.scrape
        administrator = credential(self, name=f"{WORKLOAD}-administrator", username=ADMINISTRATOR)
        tls = certificate(
            self,
            context,
            workload=WORKLOAD,
            hosts=[host for host in args.hosts if host != args.address],
            addresses=[args.address] if args.address else [],
        )
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        grafana_network(
            self,
            context,
            clients=args.client_cidrs,
            database=args.database,
            directory=args.directory,
            sources=sources,
            oidc=args.oidc.endpoint if args.oidc else None,
        )
        labels = [
            args.database.access_label,
            *(source.access_label for source in sources),
        ]
        pods = stateful_set(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=args.replicas,
                containers=[grafana_container(args.resources)],
                volumes=[*self._files(args, sources), self._secrets(args, sources, administrator), Volume(name="data")],
                tls=tls,
                access=list(dict.fromkeys(label for label in labels if label)),
                grace_s=45,
                autoscale=args.autoscale,
            ),
            parallel=False,
            after=args.database.after,
            timeout="15m",
        )
        service = load_balancer(
            self,
            context,
            workload=WORKLOAD,
            name=WORKLOAD,
            ports={"https": PORT},
            address=args.address,
            source_ranges=args.client_cidrs,
        )
        self.endpoint = GrafanaEndpoint(
            url=args.url,
            internal_url=f"https://{context.host(WORKLOAD)}:{PORT}",
            port=PORT,
            server_name=context.host(WORKLOAD),
            access_label=naming.access_label(WORKLOAD),
            administrator=administrator,
            after=(pods, service),
        )
        self.register_outputs({"pods": pods.id, "service": service.id, "url": self.endpoint.url})

    def _files(self, args: GrafanaArgs, sources: Sequence[Source]) -> list[Volume]:
        """What anybody may read: every password in them is the name of a file."""
        config = grafana_config(
            GrafanaConfig(
                url=args.url,
                database=args.database,
                connections=args.connections,
                administrator=ADMINISTRATOR,
                scraper=self.scrape.credential.username,
                sources=[source.address for source in sources],
                oidc=args.oidc,
            )
        )
        directory = has_authority(args.directory_secrets).apply(
            lambda private: toml(ldap_config(args.directory, private_authority=private))
        )
        files = config_files(
            self,
            args.context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={process.INI_FILE: ini_text(config), process.LDAP_FILE: directory},
        )
        provisioned = config_files(
            self,
            args.context,
            name=f"{WORKLOAD}-sources",
            workload=WORKLOAD,
            files={process.SOURCES_FILE: yaml.safe_dump(sources_config(sources), sort_keys=False)},
        )
        return [Volume(name="config", files=files), Volume(name="sources", files=provisioned)]

    def _secrets(self, args: GrafanaArgs, sources: Sequence[Source], administrator: Credential) -> Volume:
        key = pulumi_random.RandomPassword(
            f"{WORKLOAD}-secret-key", length=32, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        files = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-secrets",
            workload=WORKLOAD,
            files={
                process.ADMINISTRATOR_SECRET: administrator.password,
                process.DATABASE_SECRET: args.database.user.password,
                process.KEY_SECRET: pulumi.Output.secret(key.result),
                process.METRICS_SECRET: self.scrape.credential.password,
                **directory_files(args.directory_secrets),
                **{source.secret: source.user.password for source in sources if source.user},
                **(oidc_files(args.oidc.endpoint) if args.oidc else {}),
            },
        )
        return Volume(name="secrets", files=files)
