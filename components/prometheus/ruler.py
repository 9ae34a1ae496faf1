"""Thanos Ruler: rules about what the layers send, where it is divided over shards (requirement P4, docs/adr/0065).

No server has all series of the layers then, so that these rules are evaluated over the read address. There is one ruler
for each replica of Prometheus, with a volume of its own: what one records the other one records too, and both raise the
same alerts, which Alertmanager takes for one as it does those of the replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components import naming
from components.contracts import AlertReceiver, Credential, ObjectStorage, QueryEndpoint, ScrapeTarget
from components.k8s import (
    TLS_MOUNT,
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    StorageClaim,
    Volume,
    Workload,
    certificate,
    config_files,
    headless_service,
    network_policy,
    secret_files,
    stateful_set,
    to_storage,
    with_access,
    workload_pods,
)
from components.prometheus.config import (
    RULES_FILE,
    WEB_DIRECTORY,
    AlertTarget,
    alert_targets,
    password_file_of,
    rendered,
)
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.query import StoreEndpoint
from components.prometheus.thanos import (
    GRPC_PORT,
    OBJECTS_DIRECTORY,
    QUERY_PORT,
    STORE_HTTP_PORT,
    STORE_NAME,
    Encryption,
    RulerConfig,
    objects_files,
    objects_mount,
    objects_volume,
    ruler_command,
)
from components.rules import RuleGroup, rule_file
from components.shards import RULER_SHARD, external_labels, ruler_name
from components.web_access import web_file

TOKEN = "obs:prometheus:Ruler"  # noqa: S105  (a type token)
CONFIG_DIRECTORY: Final = "/etc/thanos-rules"
DATA_DIRECTORY: Final = "/var/thanos"
_QUERY_PASSWORD: Final = "query-password"  # noqa: S105  (a file name)


def query_config(
    address: str,
    *,
    server_name: str,
    username: str,
    tls_directory: str = TLS_MOUNT,
    web_directory: str = WEB_DIRECTORY,
) -> list[dict[str, Any]]:
    """Where a ruler asks for what its rules read.

    Args:
        address: ``host:port`` of the read address.
        server_name: Name to verify in its certificate.
        username: Login name there.
        tls_directory: Folder with ``ca.crt``.
        web_directory: Folder of passwords.
    """
    return [
        {
            "http_config": {
                "basic_auth": {"username": username, "password_file": f"{web_directory}/{_QUERY_PASSWORD}"},
                "tls_config": {"ca_file": f"{tls_directory}/ca.crt", "server_name": server_name},
            },
            "static_configs": [address],
            "scheme": "https",
        }
    ]


def receivers_config(
    receivers: Sequence[AlertTarget], *, tls_directory: str = TLS_MOUNT, web_directory: str = WEB_DIRECTORY
) -> dict[str, Any]:
    """Where a ruler sends its alerts: to every pod of each receiver, as Prometheus does."""
    return {
        "alertmanagers": [
            {
                "http_config": {
                    "basic_auth": {
                        "username": receiver.username,
                        "password_file": f"{web_directory}/{password_file_of(receiver.name)}",
                    },
                    "tls_config": {"ca_file": f"{tls_directory}/ca.crt", "server_name": receiver.server_name},
                },
                "static_configs": [f"dnssrv+{receiver.srv}"],
                "scheme": "https",
                "path_prefix": receiver.path_prefix,
                "timeout": "10s",
                "api_version": "v2",
            }
            for receiver in receivers
        ]
    }


def ruler_rules_file(groups: Sequence[RuleGroup], runbook_base: str) -> str:
    """The rule file: evaluated also while a store does not answer, since the other replica has the same."""
    content = rule_file(groups, runbook_base)
    return rendered({"groups": [{**group, "partial_response_strategy": "warn"} for group in content["groups"]]})


@dataclass(frozen=True, kw_only=True)
class RulerArgs:
    """What the ruler of a replica needs.

    Attributes:
        context: Deployment context.
        replica: The replica.
        query: Where it asks.
        user: As whom.
        alert_receivers: What takes its alerts.
        rule_groups: Its rules.
        runbook_base: Address under which runbooks are found.
        scrape: Its own metrics.
        resources: Of its pod.
        storage: Size of its volume: what is recorded and has not been shipped.
        objects: Where it ships blocks to.
        encryption: As it is given to the Prometheus replicas.
        block_duration: Time that a block covers.
        after: What is updated before: the ruler of another replica.
    """

    context: DeploymentContext
    replica: str
    query: QueryEndpoint
    user: Credential
    alert_receivers: Sequence[AlertReceiver]
    rule_groups: Sequence[RuleGroup]
    runbook_base: str
    scrape: ScrapeTarget
    resources: Resources
    storage: str
    objects: ObjectStorage
    encryption: Encryption | None
    block_duration: str
    after: Sequence[pulumi.Resource] = ()


class Ruler(pulumi.ComponentResource):
    """Evaluates rules over all shards.

    Attributes:
        endpoint: How Thanos Query reads what it recorded.
        pods: Its StatefulSet, ready.
    """

    endpoint: StoreEndpoint
    pods: pulumi.Resource

    def __init__(self, name: str, args: RulerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context, workload = args.context, ruler_name(args.replica)
        tls = certificate(self, context, workload=workload, services=[STORE_NAME])
        headless_service(
            self, context, workload=workload, ports={naming.METRICS_PORT: STORE_HTTP_PORT, "grpc": GRPC_PORT}
        )
        self.endpoint = StoreEndpoint(
            workload=workload,
            grpc=f"{context.host(naming.headless(workload))}:{GRPC_PORT}",
            store_name=context.host(STORE_NAME),
            access_label=naming.access_label(workload),
        )
        network_policy(
            self,
            context,
            workload=workload,
            ingress=[
                Allow(peers=[with_access(self.endpoint.access_label)], ports=[GRPC_PORT]),
                Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[STORE_HTTP_PORT]),
            ],
            egress=[
                Allow(peers=[workload_pods(QUERY)], ports=[QUERY_PORT]),
                *(
                    Allow(peers=[workload_pods(receiver.workload)], ports=[receiver.port])
                    for receiver in args.alert_receivers
                ),
                to_storage(args.objects),
            ],
        )
        objects = objects_files(self, context, workload=workload, storage=args.objects, encryption=args.encryption)
        self.pods = stateful_set(
            self,
            context,
            Workload(
                name=workload,
                replicas=1,
                containers=[_container(args)],
                volumes=[*_volumes(self, args, workload), objects_volume(objects)],
                tls=tls,
                access=[args.query.access_label, *(receiver.access_label for receiver in args.alert_receivers)],
                grace_s=60,
            ),
            claims=[StorageClaim(name="data", size=args.storage)],
            after=args.after,
        )
        self.register_outputs({"workload": workload})


def _volumes(parent: pulumi.Resource, args: RulerArgs, workload: str) -> list[Volume]:
    public = config_files(
        parent,
        args.context,
        name=workload,
        workload=workload,
        files={
            RULES_FILE: ruler_rules_file(args.rule_groups, args.runbook_base),
            "query.yml": rendered(
                query_config(
                    args.query.internal_url.removeprefix("https://"),
                    server_name=args.query.server_name,
                    username=args.user.username,
                )
            ),
            "alertmanagers.yml": rendered(receivers_config(alert_targets(args.alert_receivers))),
        },
    )
    passwords: Mapping[str, pulumi.Input[str]] = {
        password_file_of(receiver.name): receiver.credential.password for receiver in args.alert_receivers
    }
    secret = secret_files(
        parent,
        args.context,
        name=f"{workload}-web",
        workload=workload,
        files={"web.yml": web_file([args.scrape.credential]), _QUERY_PASSWORD: args.user.password, **passwords},
    )
    return [Volume(name="config", files=public), Volume(name="web", files=secret)]


def _container(args: RulerArgs) -> Container:
    return Container(
        name="thanos-rule",
        image="thanos",
        command=ruler_command(
            RulerConfig(
                labels=external_labels(args.context.platform, args.context.region, args.replica, RULER_SHARD),
                query_url=args.query.page,
                block_duration=args.block_duration,
                config_directory=CONFIG_DIRECTORY,
                data_directory=DATA_DIRECTORY,
                objects_directory=OBJECTS_DIRECTORY,
            )
        ),
        resources=args.resources,
        ports={naming.METRICS_PORT: STORE_HTTP_PORT, "grpc": GRPC_PORT},
        mounts=[
            Mount(volume="config", path=CONFIG_DIRECTORY),
            Mount(volume="web", path=WEB_DIRECTORY),
            Mount(volume="data", path=DATA_DIRECTORY, writable=True),
            objects_mount(),
        ],
        startup=Probe(tcp=STORE_HTTP_PORT, period_s=2, failures=150),
        liveness=Probe(tcp=STORE_HTTP_PORT, period_s=15, failures=6),
        readiness=Probe(tcp=GRPC_PORT, period_s=10),
        working_dir=DATA_DIRECTORY,
    )
