"""The search cluster: nodes, users, indices and the index manager (requirements J1, L traces and logs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import Credential, ScrapeTarget, SearchEndpoint
from components.k8s import DeploymentContext, Resources, credential, secret_files
from components.search.access import ERASER, ERASER_SECRET, SearchUser, own_users
from components.search.config import HTTP_PORT, WORKLOAD, Engine
from components.search.index_manager import IndexManagerArgs, Snapshots, index_manager
from components.search.indices import IndexPolicy, families
from components.search.nodes import NodeSet, NodeSize, node_set

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
        snapshots: Copies of the cluster, or None for none.
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
    snapshots: Snapshots | None
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
        users = (*args.users, *own_users([family.name for family in kept]))
        credentials: dict[str, Credential] = {
            user.name: credential(self, name=f"{WORKLOAD}-user-{user.name}", username=user.name) for user in users
        }
        secret_files(
            self,
            context,
            name=ERASER_SECRET,
            workload=WORKLOAD,
            files={"username": ERASER, "password": credentials[ERASER].password},
        )
        repository = args.snapshots.settings.get("location") if args.snapshots else None
        nodes = node_set(
            self,
            NodeSet(
                context=context,
                engine=args.engine,
                count=args.nodes,
                size=args.size,
                users=users,
                credentials=credentials,
                repository_paths=(repository,) if repository else (),
                snapshot_networks=args.snapshots.networks if args.snapshots else (),
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
                snapshots=args.snapshots,
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
