"""The identity fake: stands in for the OpenID Connect provider of a platform that has none.

An installation with a provider of its own gives an `OidcEndpoint` of its settings to the trace queries instead, and
does not make this component.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components import naming
from components.contracts import Credential, OidcEndpoint, ScrapeTarget
from components.identity.config import (
    ACCOUNTS_DIRECTORY,
    CONFIG_DIRECTORY,
    METRICS_PORT,
    PORT,
    FakeUser,
    accounts,
    login_client,
    settings,
    tool_client,
)
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    certificate,
    config_files,
    credential,
    deployment,
    headless_service,
    load_balancer,
    network,
    network_policy,
    own_scrape,
    secret_files,
    with_access,
)

TOKEN = "obs:identity:IdentityFake"  # noqa: S105  (a type token)
WORKLOAD = "identity-fake"
CLIENT = "jaeger"
"""Client of all trace queries: what they allow differs by groups, not by client."""
TOOL = "ops"
"""Client of the command line tools, which act as a member of ``tool_groups``."""


@dataclass(frozen=True, kw_only=True)
class IdentityFakeArgs:
    """What the fake needs.

    Attributes:
        context: Deployment context.
        users: Who can sign in.
        redirects: Where the trace queries' users may be sent back to.
        tool_groups: Groups of the command line tools.
        resources: Of its pod.
        address: Load balancer address to ask for, or None.
        client_cidrs: Networks that may sign in.
        hosts: Host names of the load balancer, for the certificate.
    """

    context: DeploymentContext
    users: Sequence[FakeUser]
    redirects: Sequence[str]
    tool_groups: Sequence[str]
    resources: Resources
    address: str | None
    client_cidrs: Sequence[str]
    hosts: Sequence[str] = ()


class IdentityFake(pulumi.ComponentResource):
    """A small provider with the users of its arguments; one pod, whose restart ends all logins.

    Attributes:
        endpoint: Where to sign in.
        users: User name -> credential.
        tool: Client name and secret of the command line tools.
        scrape: Its own metrics.
    """

    endpoint: OidcEndpoint
    scrape: ScrapeTarget
    users: Mapping[str, Credential]
    tool: Credential

    def __init__(self, name: str, args: IdentityFakeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        access = naming.access_label(WORKLOAD)
        host = args.hosts[0] if args.hosts else args.address or context.host(WORKLOAD)
        client = credential(self, name=f"{WORKLOAD}-client", username=CLIENT)
        self.scrape = own_scrape(self, context, WORKLOAD, METRICS_PORT)
        self.tool = credential(self, name=f"{WORKLOAD}-tool", username=TOOL)
        self.users = {
            user.name: credential(self, name=f"{WORKLOAD}-user-{user.name}", username=user.name) for user in args.users
        }
        self.endpoint = OidcEndpoint(
            issuer=f"https://{host}:{PORT}",
            port=PORT,
            client_id=CLIENT,
            client_secret=client.password,
            private_authority=True,
            workload=WORKLOAD,
            access_label=access,
            internal_url=f"https://{context.host(WORKLOAD)}:{PORT}",
        )
        tls = certificate(
            self,
            context,
            workload=WORKLOAD,
            hosts=[host for host in args.hosts if host != args.address],
            addresses=[args.address] if args.address else [],
        )
        clients = [with_access(access), *(network(cidr) for cidr in args.client_cidrs)]
        headless_service(self, context, workload=WORKLOAD, ports={naming.METRICS_PORT: METRICS_PORT})
        network_policy(
            self,
            context,
            workload=WORKLOAD,
            ingress=[
                Allow(peers=clients, ports=[PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[METRICS_PORT]),
            ],
            dns=False,
        )
        pods = deployment(
            self,
            context,
            Workload(
                name=WORKLOAD,
                replicas=1,
                containers=[_container(args.resources)],
                volumes=self._volumes(args, client),
                tls=tls,
            ),
            # Two at a time would sign with two keys.
            recreate=True,
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
        self.register_outputs({"pods": pods.id, "service": service.id, "issuer": self.endpoint.issuer})

    def _volumes(self, args: IdentityFakeArgs, client: Credential) -> Sequence[Volume]:
        public = config_files(
            self,
            args.context,
            name=WORKLOAD,
            workload=WORKLOAD,
            files={
                "config.json": json.dumps(settings(self.endpoint.issuer, self.scrape.credential.username), indent=2)
            },
        )

        def file(values: Mapping[str, Any]) -> str:
            clients = {
                CLIENT: login_client(values["client"], args.redirects),
                TOOL: tool_client(values["tool"], args.tool_groups, [CLIENT]),
            }
            return json.dumps(accounts(args.users, values["hashes"], clients), indent=2)

        hashes = pulumi.Output.all(**{name: user.bcrypt for name, user in self.users.items()})
        content = pulumi.Output.all(client=client.password, tool=self.tool.password, hashes=hashes).apply(file)
        secret = secret_files(
            self,
            args.context,
            name=f"{WORKLOAD}-accounts",
            workload=WORKLOAD,
            files={"accounts.json": content, "metrics-password": self.scrape.credential.password},
        )
        return [Volume(name="config", files=public), Volume(name="accounts", files=secret)]


def _container(resources: Resources) -> Container:
    health = "/healthz"
    return Container(
        name="identity-fake",
        image="services",
        command=["/usr/bin/python3", "-m", "lab.fakes.identity", f"--config={CONFIG_DIRECTORY}/config.json"],
        resources=resources,
        ports={"https": PORT, naming.METRICS_PORT: METRICS_PORT},
        env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="accounts", path=ACCOUNTS_DIRECTORY),
        ],
        startup=Probe(http=health, port=PORT, https=True, period_s=2, failures=60),
        liveness=Probe(http=health, port=PORT, https=True, period_s=15, failures=4),
        readiness=Probe(http=health, port=PORT, https=True, period_s=5, failures=2),
        pre_stop_sleep_s=2,
    )
