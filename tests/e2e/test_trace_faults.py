"""Parts of the traces' and logs' paths die under load: search goes on, logs lose nothing, lost spans are bounded."""

from __future__ import annotations

import time
from random import SystemRandom
from typing import Any

import pytest

from components.agent.component import WORKLOAD as AGENT
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
from ops.drills.tools import durations
from ops.drills.tools.faults import kill
from ops.drills.tools.returning import Returning
from ops.telemetry.traces import fetch_token
from tests.support.results import recorded
from tests.support.search_client import stored_logs, stored_spans
from tests.support.spans import SpanLoad, Stored, await_decisions, await_stored, batches
from tests.support.trace_faults import LogLoad, QueryRunner, agent, gateway
from tests.support.traces import SPANS_PER_TRACE, Traffic

TRACES_PER_S = 40
SLACK_S = 5.0


def failing(context: Context) -> SpanLoad:
    """A load of failed traces, which are all kept."""
    traffic = Traffic(SystemRandom().getrandbits(48), failed=1.0)
    return SpanLoad(context, batches(traffic, 10), per_second=TRACES_PER_S, workers=2)


def fate(context: Context, load: SpanLoad) -> Stored:
    """What is stored of a load that has ended."""
    await_decisions(context, durations.ARRIVAL, budget(context).wait_s)
    return await_stored(stored_spans(context), load.sent, load.begun, set(load.sent.sorts), durations.ARRIVAL)


def account(figures: dict[str, Any], load: SpanLoad, stored: Stored) -> int:
    """Note what became of the spans; how many are lost."""
    lost = stored.lost(set(load.sent.sorts))
    figures |= {
        "spans acknowledged": len(load.sent.sorts) * SPANS_PER_TRACE,
        "spans lost": lost,
        "spans stored twice": stored.doubled,
        "retries": load.ledger.retries,
    }
    assert not load.ledger.given_up, load.ledger.problems
    assert len(load.sent.sorts) > TRACES_PER_S * durations.WARM_UP / 2
    return lost


def account_logs(figures: dict[str, Any], context: Context, load: LogLoad) -> None:
    """Note what became of numbered log records, of which none may be missing or there twice."""
    stored = load.stored(stored_logs(context), durations.ARRIVAL)
    figures |= {
        "log records acknowledged": len(load.ledger.acknowledged),
        "log records missing": len(load.ledger.missing(stored)),
        "log records doubled": load.doubled(stored),
        "log requests repeated": load.ledger.retries,
    }
    assert load.ledger.acknowledged
    assert figures["log records missing"] == 0
    assert figures["log records doubled"] == 0


def back_after(returning: Returning, load: SpanLoad | LogLoad) -> float:
    """Seconds until a workload that lost a pod has all of them back; the load goes on, and a while longer."""
    took = returning.after()
    load.run_for(durations.AFTER_FAULT / 2)
    return took


def is_green(context: Context) -> bool:
    """Whether the search cluster has all nodes and copies, as its metrics say."""
    finding = Finding()
    search_healthy(context, finding)
    return not finding.wrong


@pytest.mark.timeout(600)
def test_search_goes_on_while_a_search_node_is_dead_and_logs_lose_nothing(settled: Context) -> None:
    wait_until(lambda: is_green(settled), durations.READY, "a green search cluster", 3.0)
    one = reader(settled, CLASSES[-1], fetch_token(settled.web, settled.platform))
    logs = stored_logs(settled)

    def traces() -> None:
        if not one.search(TRACED_SERVICES[0].name, errors=False, since_s=900, limit=5):
            raise OpsError("no trace found")

    with recorded("search-node-killed", settled.kube) as figures:
        with QueryRunner(traces) as jaeger, QueryRunner(lambda: logs.ask({"match_all": {}})) as direct:
            with failing(settled) as load, LogLoad(settled, gateway(settled)) as numbered:
                load.run_for(durations.WARM_UP)
                victim = settled.kube.ready_pod(SEARCH)
                returning = Returning(settled.kube, victim, durations.READY)
                figures["how"], killed = kill(settled.kube, victim), time.monotonic()
                load.run_for(durations.AFTER_FAULT)
            figures["node back after s"] = returning.after()
            # Green before the node is back is the state of before the kill.
            wait_until(lambda: is_green(settled), durations.READY, "green", 1.0)
            figures["every copy again after s"] = round(time.monotonic() - killed, 1)
        for name, runner in (("traces", jaeger), ("logs", direct)):
            figures[f"questions about {name}"] = runner.requested
            figures[f"{name}: tries without an answer"] = runner.repeated
            figures[f"{name}: questions without an answer"] = len(runner.failed)
            figures[f"{name}: slowest answer s"] = round(runner.slowest, 1)
        account_logs(figures, settled, numbered)
        lost = account(figures, load, fate(settled, load))
        assert jaeger.failed == []
        assert direct.failed == []
        assert lost == 0


@pytest.mark.timeout(420)
def test_a_jaeger_collector_killed_under_load_loses_no_more_than_one_bulk(settled: Context) -> None:
    with recorded("jaeger-collector-killed", settled.kube) as figures:
        with failing(settled) as load:
            load.run_for(durations.WARM_UP + budget(settled).wait_s)
            victim = settled.kube.ready_pod(COLLECTOR)
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            figures["collectors back after s"] = back_after(returning, load)
        lost = account(figures, load, fate(settled, load))
        figures["bound"] = BULK_ACTIONS
        assert lost <= BULK_ACTIONS
        assert lost < len(load.sent.sorts) * SPANS_PER_TRACE / 2


@pytest.mark.timeout(420)
def test_a_sampler_killed_under_load_loses_only_what_waited_for_its_decision(settled: Context) -> None:
    limits = budget(settled)
    window = limits.wait_s + 2
    with recorded("sampler-killed", settled.kube) as figures:
        with failing(settled) as load:
            # A scrape later its metrics tell of a full window.
            load.run_for(durations.WARM_UP + window + 12)
            victim = settled.kube.ready_pod(SAMPLER)
            figures["traces that it said were waiting"] = waiting(settled, victim)
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            killed = time.time()
            figures["samplers back after s"] = back_after(returning, load)
        stored = fate(settled, load)
        lost = account(figures, load, stored)
        gone = set(load.sent.sorts) - stored.whole(set(load.sent.sorts))
        ages = sorted(killed - load.sent.times[trace_id] for trace_id in gone)
        within = sum(killed - window <= at <= killed for at in load.sent.times.values())
        figures |= {"traces lost": len(gone), "bound (traces sent in the window, of all samplers)": within}
        figures["lost traces were sent before the kill, s"] = f"{ages[0]:.1f} to {ages[-1]:.1f}" if ages else "none"
        assert len(gone) <= within
        assert lost <= within * SPANS_PER_TRACE
        assert all(-SLACK_S <= age <= window + SLACK_S for age in ages), ages


def waiting(context: Context, pod: Pod) -> int:
    """Traces that wait for their decision, as a sampler's newest metrics say."""
    name = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
    return int(context.thanos.number(f'{name}{{job="{SAMPLER}",instance="{pod.name}"}}') or 0)


@pytest.mark.timeout(420)
def test_an_agent_killed_under_load_loses_nothing_that_it_acknowledged(settled: Context) -> None:
    with recorded("agent-killed", settled.kube) as figures:
        with LogLoad(settled, agent(settled)) as load:
            load.run_for(durations.WARM_UP)
            victim = settled.kube.ready_pod(AGENT)
            returning = Returning(settled.kube, victim, durations.READY)
            figures["how"] = kill(settled.kube, victim)
            killed = time.time()
            figures["agents back after s"] = back_after(returning, load)
        figures["longest pause of a sender s"] = round(load.ledger.longest_gap(killed, time.time()), 1)
        account_logs(figures, settled, load)
        assert load.ledger.count_between(killed + 5, time.time()), "nothing was taken after the agent died"
