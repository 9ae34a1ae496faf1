"""Who reaches Grafana, and whom it reaches."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components import naming
from components.contracts import DatabaseEndpoint, OidcEndpoint
from components.grafana.ldap import Directory
from components.grafana.process import PORT, WORKLOAD
from components.grafana.sources import Source
from components.k8s import Allow, DeploymentContext, network, network_policy, with_access, workload_pods


def grafana_network(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    clients: Sequence[str],
    database: DatabaseEndpoint,
    directory: Directory,
    sources: Sequence[Source],
    oidc: OidcEndpoint | None,
) -> None:
    """The NetworkPolicy: browsers and programs in; database, directory, data sources and DNS out, and nothing else.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        clients: Networks of people and tools.
        database: Where content and sessions are.
        directory: Where logins are proven.
        sources: What is asked for data.
        oidc: Where else people sign in.
    """
    callers = [with_access(naming.access_label(WORKLOAD)), with_access(naming.METRICS_ACCESS)]
    # A database of this platform by its pods, any other one by its networks.
    peers = [workload_pods(database.workload)] if database.workload else [network(cidr) for cidr in database.networks]
    egress = [
        Allow(peers=peers, ports=[database.port]),
        Allow(peers=[network(cidr) for cidr in directory.networks], ports=[directory.port]),
        *(Allow(peers=[workload_pods(source.workload)], ports=[source.port]) for source in sources),
        *([Allow(peers=[network(cidr) for cidr in oidc.networks], ports=[oidc.port])] if oidc else []),
    ]
    network_policy(
        parent,
        context,
        workload=WORKLOAD,
        ingress=[Allow(peers=[*callers, *(network(cidr) for cidr in clients)], ports=[PORT])],
        egress=egress,
    )
