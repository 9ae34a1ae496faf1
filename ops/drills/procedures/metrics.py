"""Faults in the path of metrics under load: nothing that was acknowledged is lost (O1, O5, P1)."""

from __future__ import annotations

import time
from typing import Any

from ops.core.context import Context
from ops.core.kube import wait_until
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, unmet
from ops.drills.tools.faults import kill, scaled
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.markers import Ticker
from ops.drills.tools.returning import Returning
from ops.drills.tools.sequences import gaps


def kill_gateway(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill a gateway under load."""
    start = context.kafka.end_offsets(TOPIC)
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        victim = context.kube.ready_pod("gateway")
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        load.run_for(durations.AFTER_FAULT)
    figures["back after s"] = returning.after()
    missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
    return account(figures, "gateway", load, len(missing))


def kill_consumer(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill the consumer that feeds the primary Prometheus under load."""
    replica = context.platform.prometheus_replicas[0]
    began = time.time()
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        victim = context.kube.ready_pod(f"metrics-consumer-{replica}")
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        load.run_for(durations.AFTER_FAULT)
        figures["back after s"] = returning.after()
    stopped = time.time()
    window = int(time.time() - began + durations.ARRIVAL + 60)
    arrived = load.in_prometheus(context.prometheus(replica), window, durations.ARRIVAL)
    missing = load.ledger.missing(arrived)
    problems = account(figures, f"prometheus-{replica}", load, len(missing))
    figures["caught up after s"] = round(time.time() - stopped, 1)
    return problems


def stop_primary_prometheus(context: Context, figures: dict[str, Any]) -> list[str]:
    """Stop the primary Prometheus while somebody asks at the read address each second."""
    primary = context.platform.prometheus_replicas[0]
    workload = f"prometheus-{primary}"
    began = time.time()
    with Ticker(context, f"{int(began)}", context.thanos) as ticker:
        wait_until(lambda: ticker.queries > 3, 60, "the marker at Thanos Query")
        with scaled(context.kube, workload, 0, 1):
            wait_until(lambda: not context.kube.pods(workload), 60, f"{workload} to be gone")
            time.sleep(durations.PRIMARY_DOWN)
        figures["down s"] = durations.PRIMARY_DOWN
        figures["primary back after s"] = round(context.kube.wait_ready(workload, 1, durations.READY), 1)
        time.sleep(10)
    figures["queries"], figures["failed queries"] = ticker.queries, len(ticker.failed)
    query = context.prometheus(primary)

    def held() -> set[int]:
        window = int(time.time() - began + 60)
        return {int(value) for series in query.raw(ticker.selector, window).values() for _, value in series}

    caught_up = wait_until(lambda: ticker.sent <= held(), durations.ARRIVAL, f"{workload} to catch up", 2.0)
    figures["caught up after s"] = round(caught_up, 1)
    figures["markers"], figures["missing"] = len(ticker.sent), len(ticker.sent - held())
    # The sender may skip a second when a request takes longer, but then nobody has that second.
    figures["gaps"] = len(set(gaps(held(), 1.5)) - set(gaps(ticker.sent, 1.5)))
    return unmet(
        (ticker.failed == [], f"{len(ticker.failed)} of {ticker.queries} queries failed: {ticker.failed[:3]}"),
        (figures["gaps"] == 0, f"{figures['gaps']} gaps in {workload} after it caught up"),
    )
