"""Parts of the logs' path die under load: no record is missing or there twice (O5)."""

from __future__ import annotations

import time
from typing import Any

from components.agent.component import WORKLOAD as AGENT
from components.logs.component import WORKLOAD as INDEXER
from ops.core.context import Context
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import kill
from ops.drills.tools.log_load import LogLoad, agent, gateway
from ops.drills.tools.returning import Returning
from ops.drills.tools.search_client import stored_logs

_SURVIVED_S = 5.0
"""After the kill, from when on a record shows that senders went on."""


def kill_indexer(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill a log indexer under load."""
    with LogLoad(context.ca_file, gateway(context), workers=4, pause=0.1) as load:
        load.run_for(durations.WARM_UP)
        victim = context.kube.ready_pod(INDEXER)
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        figures["indexers back after s"] = returning.after()
        load.run_for(durations.AFTER_FAULT / 2)
    stopped = time.time()
    problems = account_logs(figures, context, load)
    figures["caught up after s"] = round(time.time() - stopped, 1)
    return problems


def kill_agent(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the agent of a node, to which records are sent."""
    with LogLoad(context.ca_file, agent(context)) as load:
        load.run_for(durations.WARM_UP)
        victim = context.kube.ready_pod(AGENT)
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        killed = time.time()
        figures["agents back after s"] = returning.after()
        load.run_for(durations.AFTER_FAULT / 2)
    figures["longest pause of a sender s"] = load.longest_pause(killed)
    return [
        *account_logs(figures, context, load),
        *unmet(
            (
                load.ledger.count_between(killed + _SURVIVED_S, time.time()) > 0,
                "nothing was taken after the agent died",
            )
        ),
    ]


def account_logs(figures: dict[str, Any], context: Context, load: LogLoad, *, most_doubled: int = 0) -> list[str]:
    """Note what became of numbered log records, of which none may be missing, and no more than some there twice."""
    stored = load.stored(stored_logs(context), durations.ARRIVAL)
    acknowledged, missing, doubled = (
        len(load.ledger.acknowledged),
        len(load.ledger.missing(stored)),
        load.doubled(stored),
    )
    figures |= {
        "log records acknowledged": acknowledged,
        "log records missing": missing,
        "log records doubled": doubled,
        "log requests repeated": load.ledger.retries,
    }
    return unmet(
        (acknowledged > 0, "no log record was acknowledged"),
        (missing == 0, f"{missing} of {acknowledged} acknowledged log records are missing"),
        (doubled <= most_doubled, f"{doubled} log records are there twice"),
    )
