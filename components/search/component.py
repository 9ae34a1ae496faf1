"""The search cluster: nodes, users, indices and the index manager (requirements J1, L traces and logs)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.apiextensions import CustomResource

from components import naming
from components.contracts import Credential, ScrapeTarget, SearchEndpoint
from components.k8s import Allow, DeploymentContext, Mount, Resources, Volume, credential, secret_files, workload_pods
from components.k8s.credentials import API
from components.k8s.pods import metadata
from components.k8s.programs import CA_FILE, Program, PythonService, PythonServiceArgs, auth_folder, served
from components.search import access
from components.search.access import (
    ERASER,
    ERASER_SECRET,
    INDEX_MANAGER,
    RESTORER,
    RESTORER_SECRET,
    SearchUser,
    own_users,
)
from components.search.config import ADMIN, HTTP_PORT, WORKLOAD, Engine
from components.search.indices import Family, IndexPolicy, families
from components.search.nodes import NodeSet, NodeSize, certificate_files, hashes, node_set
from services.index_manager import (
    AccessFile,
    FamilySettings,
    IndexManagerSettings,
    Rollover,
)

PORT = 8080
_AUTH = auth_folder(INDEX_MANAGER)
_ADMIN = "/etc/search-admin"


@dataclass(frozen=True, kw_only=True)
class IndexManagerArgs:
    """What the index manager needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        engine: Server of the cluster.
        nodes: Number of its nodes.
        families: Indices to keep.
        users: Users of the cluster.
        credentials: User name -> credential.
        interval_s: Seconds between two rounds.
        resources: Of the pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    engine: Engine
    nodes: int
    families: Sequence[Family]
    users: Sequence[SearchUser]
    credentials: Mapping[str, Credential]
    interval_s: int
    resources: Resources


def index_manager_settings(
    *,
    url: str,
    scrape_user: str,
    engine: Engine,
    nodes: int,
    families: Sequence[Family],
    interval_s: int,
) -> IndexManagerSettings:
    """The settings of ``services.index_manager``."""
    applied = AccessFile(
        file=Path(f"{_AUTH}/access.json"), cert_file=Path(f"{_ADMIN}/tls.crt"), key_file=Path(f"{_ADMIN}/tls.key")
    )
    return IndexManagerSettings(
        url=url,
        ca_file=CA_FILE,
        username=INDEX_MANAGER,
        password_file=Path(f"{_AUTH}/search-password"),
        access=applied if engine is Engine.OPENSEARCH else None,
        nodes=nodes,
        families=tuple(_family(family) for family in families),
        interval_s=interval_s,
        **served(PORT, scrape_user, _AUTH),
    )


def _family(family: Family) -> FamilySettings:
    return FamilySettings(
        name=family.name,
        write_alias=family.write_alias,
        read_aliases=tuple(family.read_aliases),
        template=family.template(),
        rollover=Rollover(
            age_s=family.policy.rollover_age_s,
            bytes=family.policy.rollover_bytes,
            documents=family.policy.rollover_documents,
        ),
        keep_s=family.policy.retention_days * 86400,
    )


def index_manager(parent: pulumi.Resource, args: IndexManagerArgs) -> k8s.apps.v1.Deployment:
    """Make the index manager's pod. It is ready once users, templates, first indices and aliases exist.

    It does not wait for the nodes to be there: after a change of passwords they are ready only when it has told them of
    it.
    """
    context = args.context
    settings = index_manager_settings(
        url=f"https://{context.host(WORKLOAD)}:{HTTP_PORT}",
        scrape_user=args.scrape.credential.username,
        engine=args.engine,
        nodes=args.nodes,
        families=args.families,
        interval_s=args.interval_s,
    )
    secrets: dict[str, pulumi.Input[str]] = {"search-password": args.credentials[INDEX_MANAGER].password}
    volumes: list[Volume] = []
    mounts: list[Mount] = []
    if args.engine is Engine.OPENSEARCH:
        secrets["access.json"] = hashes(args.credentials).apply(
            lambda bcrypt_hashes: json.dumps(access.security_documents(args.users, bcrypt_hashes), sort_keys=True)
        )
        volumes.append(Volume(name="admin", files=certificate_files(_administrator(parent, context))))
        mounts.append(Mount(volume="admin", path=_ADMIN))
    service = PythonService(
        parent,
        context,
        PythonServiceArgs(
            program=Program(module="index_manager", container="index-manager", resources=args.resources, mounts=mounts),
            scrape=args.scrape,
            settings=settings,
            secrets=secrets,
            egress=[Allow(peers=[workload_pods(WORKLOAD)], ports=[HTTP_PORT])],
            access=[naming.access_label(WORKLOAD)],
            recreate=True,
            volumes=volumes,
            timeout="20m",
        ),
    )
    return service.pods


def _administrator(parent: pulumi.Resource, context: DeploymentContext) -> pulumi.Output[str]:
    """The administrator's certificate, good for calling only: it stands for no host. Returns the name of its Secret."""
    secret = f"{ADMIN}-tls"
    admin_certificate = CustomResource(
        f"{ADMIN}-certificate",
        api_version=API,
        kind="Certificate",
        metadata=metadata(context, ADMIN, INDEX_MANAGER),
        spec={
            "secretName": secret,
            "commonName": ADMIN,
            "duration": context.certificates.duration,
            "renewBefore": context.certificates.renew_before,
            "usages": ["digital signature", "client auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "issuerRef": {"name": context.issuer, "kind": "Issuer", "group": "cert-manager.io"},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return admin_certificate.id.apply(lambda _: secret)


TOKEN = "obs:search:Search"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class SearchArgs:
    """What a search cluster needs.

    Attributes:
        context: Deployment context.
        scrape: Metrics endpoint of the index manager, which measures the cluster.
        engine: Server that the nodes run.
        nodes: Number of nodes; an odd number of at least three survives the loss of one.
        size: Size of a node.
        users: Clients.
        traces: Sizes and ages of trace indices; the shards are those of spans.
        logs: Sizes and ages of log indices.
        index_manager: The index manager's pod.
        index_manager_interval_s: Seconds between its rounds.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    engine: Engine
    nodes: int
    size: NodeSize
    users: Sequence[SearchUser]
    traces: IndexPolicy
    logs: IndexPolicy
    index_manager: Resources
    index_manager_interval_s: int


class Search(pulumi.ComponentResource):
    """A search cluster.

    Attributes:
        endpoint: How clients reach it.
        scrape: Metrics of the whole cluster, which the index manager serves: the nodes have none of their own.
    """

    endpoint: SearchEndpoint
    scrape: ScrapeTarget

    def __init__(self, name: str, args: SearchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        check(args)
        context = args.context
        kept = families(args.engine, traces=args.traces, logs=args.logs)
        users = (*args.users, *own_users([family.name for family in kept], args.engine))
        credentials: dict[str, Credential] = {
            user.name: credential(self, name=f"{WORKLOAD}-user-{user.name}", username=user.name) for user in users
        }
        for user, secret in ((ERASER, ERASER_SECRET), (RESTORER, RESTORER_SECRET)):
            if user in credentials:
                secret_files(
                    self,
                    context,
                    name=secret,
                    workload=WORKLOAD,
                    files={"username": user, "password": credentials[user].password},
                )
        nodes = node_set(
            self,
            NodeSet(
                context=context,
                engine=args.engine,
                count=args.nodes,
                size=args.size,
                users=users,
                credentials=credentials,
            ),
        )
        self.scrape = args.scrape
        pods = index_manager(
            self,
            IndexManagerArgs(
                context=context,
                scrape=args.scrape,
                engine=args.engine,
                nodes=args.nodes,
                families=kept,
                users=users,
                credentials=credentials,
                interval_s=args.index_manager_interval_s,
                resources=args.index_manager,
            ),
        )
        self.endpoint = SearchEndpoint(
            url=f"https://{context.host(WORKLOAD)}:{HTTP_PORT}",
            port=HTTP_PORT,
            workload=WORKLOAD,
            server_name=context.host(WORKLOAD),
            access_label=naming.access_label(WORKLOAD),
            users={user.name: credentials[user.name] for user in args.users},
            ready=pulumi.Output.all(nodes.id, pods.id).apply(lambda _: True),
            after=(nodes, pods),
        )
        self.register_outputs({"url": self.endpoint.url})


def check(args: SearchArgs) -> None:
    """Refuse what cannot work.

    Raises:
        ValueError: More copies are asked for than there are nodes, or two users share a name.
    """
    for kind, policy in (("traces", args.traces), ("logs", args.logs)):
        if policy.replicas >= args.nodes:
            raise ValueError(
                f"search: {kind} have {policy.replicas} further copies on {args.nodes} nodes; "
                f"allowed: 0 to {args.nodes - 1}; add nodes or ask for fewer copies"
            )
    names = [user.name for user in args.users]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"search: the user {twice[0]} occurs twice; each client workload is one user")
