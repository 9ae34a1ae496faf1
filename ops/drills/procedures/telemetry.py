"""Faults in the paths of metrics, logs and traces under load, and a client whose clock is set: nothing acknowledged is
lost or there twice, search goes on, lost spans are bounded (O1, O4, O5, P1, J1).
"""

from __future__ import annotations

import time
from random import SystemRandom
from typing import Any

from components.agent import WORKLOAD as AGENT
from components.jaeger.collector import WORKLOAD as COLLECTOR
from components.jaeger.config import BULK_ACTIONS
from components.logs import WORKLOAD as INDEXER
from components.sampler import WORKLOAD as SAMPLER
from components.search.config import WORKLOAD as SEARCH
from components.telemetry.attributes import CLASSES
from components.telemetry.services import TRACED_SERVICES
from ops.checks.traces import budget, reader, search_healthy
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Pod, wait_until
from ops.core.rows import Finding
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, gaps, unmet
from ops.drills.tools.faults import Returning, kill, scaled
from ops.drills.tools.load import TOPIC, LogLoad, OtlpLoad, agent, gateway
from ops.drills.tools.markers import QueryRunner, Ticker
from ops.drills.tools.search_client import stored_logs, stored_spans
from ops.drills.tools.span_load import (
    SPANS_PER_TRACE,
    SpanLoad,
    Stored,
    Traffic,
    await_decisions,
    await_stored,
    batches,
)
from ops.telemetry.traces import fetch_token


def step_clock(context: Context, figures: dict[str, Any]) -> list[str]:
    """Set the clock of a client ahead, then back, then right, beside one whose clock is right all the time."""
    start, began = context.kafka.end_offsets(TOPIC), time.time()
    step = durations.CLOCK_STEP
    with OtlpLoad(context, workers=2, clock_changes=True) as client, OtlpLoad(context, workers=2) as neighbour:
        client.run_for(durations.WARM_UP)
        for ahead_s in (step, -step, 0.0):
            say(f"clock of the client {ahead_s:+.0f} s")
            client.ahead_s = ahead_s
            client.run_for(durations.AFTER_FAULT)
    figures["step s"] = step
    problems = list[str]()
    for name, load in (("client", client), ("neighbour", neighbour)):
        missing = load.missing(context, start, began)
        figures[f"{name} missing in"] = {store: len(numbers) for store, numbers in missing.items()}
        problems += account(figures, name, load, len(set[Any]().union(*missing.values())))
        figures[f"longest pause of the {name} s"] = load.longest_pause(began)
    return problems


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


TRACES_PER_S = 40
SLACK_S = 5.0


def kill_search_node(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill one of the search nodes while somebody asks about traces and about logs."""
    wait_until(lambda: is_green(context), durations.READY, "a green search cluster", 3.0)
    one = reader(context, CLASSES[-1], fetch_token(context.web, context.platform))
    logs = stored_logs(context)

    def traces() -> None:
        if not one.search(TRACED_SERVICES[0].name, errors=False, since_s=900, limit=5):
            raise OpsError("no trace found")

    with QueryRunner(traces) as jaeger, QueryRunner(lambda: logs.ask({"match_all": {}})) as direct:
        with failing(context) as load, LogLoad(context.ca_file, gateway(context)) as numbered:
            load.run_for(durations.WARM_UP)
            victim = context.kube.ready_pod(SEARCH)
            returning = Returning(context.kube, victim, durations.READY)
            figures["how"], killed = kill(context.kube, victim), time.monotonic()
            load.run_for(durations.AFTER_FAULT)
        figures["node back after s"] = returning.after()
        # Green before the node is back is the state of before the kill.
        wait_until(lambda: is_green(context), durations.READY, "green", 1.0)
        figures["every copy again after s"] = round(time.monotonic() - killed, 1)
    for name, runner in (("traces", jaeger), ("logs", direct)):
        figures[f"questions about {name}"] = runner.requested
        figures[f"{name}: tries without an answer"] = runner.repeated
        figures[f"{name}: questions without an answer"] = len(runner.failed)
        figures[f"{name}: slowest answer s"] = round(runner.slowest, 1)
    problems = account_logs(figures, context, numbered)
    lost, lost_problems = account_spans(figures, load, fate(context, load))
    return [
        *problems,
        *lost_problems,
        *unmet(
            *(
                (
                    runner.failed == [],
                    f"{len(runner.failed)} of {runner.requested} questions about {name} without an answer: "
                    f"{runner.failed[:3]}",
                )
                for name, runner in (("traces", jaeger), ("logs", direct))
            ),
            (lost == 0, f"{lost} spans lost"),
        ),
    ]


def kill_jaeger_collector(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill a Jaeger collector under load."""
    with failing(context) as load:
        load.run_for(durations.WARM_UP + budget(context).wait_s)
        victim = context.kube.ready_pod(COLLECTOR)
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        figures["collectors back after s"] = returning.after()
        load.run_for(durations.AFTER_FAULT / 2)
    lost, problems = account_spans(figures, load, fate(context, load))
    figures["bound"] = BULK_ACTIONS
    sent = len(load.sent.sorts) * SPANS_PER_TRACE
    return problems + unmet(
        (lost <= BULK_ACTIONS, f"{lost} spans lost, more than one bulk of {BULK_ACTIONS}"),
        (lost < sent / 2, f"{lost} of {sent} spans lost, half of them or more"),
    )


def kill_sampler(context: Context, figures: dict[str, Any]) -> list[str]:
    """Kill a sampler under load, while its window is full."""
    limits = budget(context)
    window = limits.wait_s + 2
    with failing(context) as load:
        # A scrape later its metrics tell of a full window.
        load.run_for(durations.WARM_UP + window + 12)
        victim = context.kube.ready_pod(SAMPLER)
        figures["traces that it said were waiting"] = waiting(context, victim)
        returning = Returning(context.kube, victim, durations.READY)
        figures["how"] = kill(context.kube, victim)
        killed = time.time()
        figures["samplers back after s"] = returning.after()
        load.run_for(durations.AFTER_FAULT / 2)
    stored = fate(context, load)
    lost, problems = account_spans(figures, load, stored)
    gone = set(load.sent.sorts) - stored.whole(set(load.sent.sorts))
    ages = sorted(killed - load.sent.times[trace_id] for trace_id in gone)
    within = sum(killed - window <= at <= killed for at in load.sent.times.values())
    figures |= {"traces lost": len(gone), "bound (traces sent in the window, of all samplers)": within}
    shown = f"{ages[0]:.1f} to {ages[-1]:.1f}" if ages else "none"
    figures["lost traces were sent before the kill, s"] = shown
    return problems + unmet(
        (len(gone) <= within, f"{len(gone)} traces lost, more than the {within} that were sent in the window"),
        (lost <= within * SPANS_PER_TRACE, f"{lost} spans lost, more than those of {within} traces of the window"),
        (
            all(-SLACK_S <= age <= window + SLACK_S for age in ages),
            f"lost traces were sent {shown} s before the kill, must be {-SLACK_S:g} to {window + SLACK_S:g} s",
        ),
    )


def failing(context: Context) -> SpanLoad:
    """A load of failed traces, which are all kept."""
    traffic = Traffic(SystemRandom().getrandbits(48), failed=1.0)
    return SpanLoad(context, batches(traffic, 10), per_second=TRACES_PER_S, workers=2)


def fate(context: Context, load: SpanLoad) -> Stored:
    """What is stored of a load that has ended."""
    await_decisions(context, durations.ARRIVAL, budget(context).wait_s)
    return await_stored(stored_spans(context), load.sent, load.begun, set(load.sent.sorts), durations.ARRIVAL)


def account_spans(figures: dict[str, Any], load: SpanLoad, stored: Stored) -> tuple[int, list[str]]:
    """Note what became of the spans; how many are lost, and why the load shows nothing where it does not."""
    lost, traces = stored.lost(set(load.sent.sorts)), len(load.sent.sorts)
    fewest = TRACES_PER_S * durations.WARM_UP / 2
    figures |= {
        "spans acknowledged": traces * SPANS_PER_TRACE,
        "spans lost": lost,
        "spans stored twice": stored.doubled,
        "retries": load.ledger.retries,
    }
    return lost, unmet(
        (not load.ledger.given_up, f"{len(load.ledger.given_up)} traces were not acknowledged: {load.ledger.problems}"),
        (traces > fewest, f"only {traces} traces were sent, must be more than {fewest:.0f}"),
    )


def is_green(context: Context) -> bool:
    """Whether the search cluster has all nodes and copies, as its metrics say."""
    finding = Finding()
    search_healthy(context, finding)
    return not finding.wrong


def waiting(context: Context, pod: Pod) -> int:
    """Traces that wait for their decision, as a sampler's newest metrics say."""
    name = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
    return int(context.thanos.number(f'{name}{{job="{SAMPLER}",instance="{pod.name}"}}') or 0)
