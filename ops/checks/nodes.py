"""G4's nodes: what their agents tell of processors, memory and disks has a value of every node that an agent runs on.

The panels of these recordings show nothing or zero where a node is missing, so that an empty one is no sign of it.
Nobody tells of a node's network: an agent sees that of its own pod (docs/adr/0078), and the dashboard shows what the
platform's servers send and receive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from components.agent import WORKLOAD
from ops.checks.grace_period import grace_period_end
from ops.core.context import Context
from ops.core.kube import NAME_LABEL, call_errors
from ops.core.rows import Finding, listed

RECORDINGS: Final[Mapping[str, str]] = {
    "CPU": "obs:node_cpu_busy:ratio",
    "load": "obs:node_load_per_processor:ratio",
    "memory": "obs:node_memory_used:ratio",
    "disk": "obs:node_disk_waiting:rate2m",
}
"""What is told of each node -> the recording with it."""
MEASURED_WITHIN: Final = timedelta(minutes=5)
"""From the start of a node's agent until rates of two minutes have been scraped and recorded."""
_TIMEOUT_SECONDS = 15


def measured(context: Context, finding: Finding) -> None:
    """Each node with an agent has a value of every recording at the read address; an agent that is new is waited for.

    Raises:
        OpsError: Kubernetes or Thanos Query does not answer.
    """
    nodes, grace_end = agents(context), grace_period_end(context)
    finding.expect(bool(nodes), f"no pod of {WORKLOAD} has a node")
    for what, recording in RECORDINGS.items():
        samples = context.thanos.instant(recording)
        known = {sample.labels.get("node", "") for sample in samples if math.isfinite(sample.value)}
        missing: dict[datetime, list[str]] = {}
        for node, started in nodes.items():
            if node not in known:
                missing.setdefault(max(grace_end, started + MEASURED_WITHIN), []).append(node)
        for due, names in missing.items():
            of_nodes = f"{what} of node {listed(names)}"
            finding.expect_by(due, False, of_nodes, f"no {of_nodes}: {recording} has no value there")
    finding.figures.append(f"{len(nodes)} nodes with an agent")
    finding.seen.append(f"{listed(RECORDINGS)} of {listed(nodes)}")


def agents(context: Context) -> dict[str, datetime]:
    """Node -> when its agent started; where it has two, since one is being replaced, the older one counts.

    Raises:
        OpsError: Kubernetes does not answer.
    """
    with call_errors(f"cannot list the pods of {WORKLOAD}"):
        items = context.kube.core.list_namespaced_pod(
            context.kube.namespace, label_selector=f"{NAME_LABEL}={WORKLOAD}", _request_timeout=_TIMEOUT_SECONDS
        ).items
    started: dict[str, datetime] = {}
    for item in items:
        node = item.spec.node_name
        if node and item.metadata.deletion_timestamp is None:
            at = item.status.start_time or datetime.now(UTC)
            started[node] = min(at, started.get(node, at))
    return started
