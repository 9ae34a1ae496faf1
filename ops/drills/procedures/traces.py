"""Parts of the traces' path die under load: search goes on, and lost spans are bounded (J1, O4)."""

from __future__ import annotations

import time
from random import SystemRandom
from typing import Any

from components.jaeger.collector import WORKLOAD as COLLECTOR
from components.jaeger.config import BULK_ACTIONS
from components.sampler.component import WORKLOAD as SAMPLER
from components.search.config import WORKLOAD as SEARCH
from components.telemetry.classification import CLASSES
from components.telemetry.services import TRACED_SERVICES
from ops.checks.sampling import budget
from ops.checks.traces import reader, search_healthy
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Pod, wait_until
from ops.core.rows import Finding
from ops.drills.procedures.logs import account_logs
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.faults import kill
from ops.drills.tools.log_load import LogLoad, gateway
from ops.drills.tools.query_runner import QueryRunner
from ops.drills.tools.returning import Returning
from ops.drills.tools.search_client import stored_logs, stored_spans
from ops.drills.tools.span_load import SpanLoad, Stored, await_decisions, await_stored, batches
from ops.drills.tools.trace_traffic import SPANS_PER_TRACE, Traffic
from ops.telemetry.traces import fetch_token

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
    lost, lost_problems = account(figures, load, fate(context, load))
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
    lost, problems = account(figures, load, fate(context, load))
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
    lost, problems = account(figures, load, stored)
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


def account(figures: dict[str, Any], load: SpanLoad, stored: Stored) -> tuple[int, list[str]]:
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
