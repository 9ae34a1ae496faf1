"""Traces from the gateway to their readers: found soon, kept as promised, shown to nobody who may not see them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import SystemRandom

import pytest

from components.telemetry.attributes import CLASSES, readable
from components.telemetry.services import ANALYSIS_UI, EDGES, TRACED_SERVICES
from lab.fakes.identity import setup as identity
from lab.paths import LabPaths
from ops.checks.traces import (
    FOUND_SECONDS,
    Budget,
    budget,
    calls_in_jaeger,
    calls_in_prometheus,
    decisions,
    names,
    reader,
    send,
    shown,
)
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.platform import PROJECT, Login
from ops.drills.tools import durations
from ops.drills.tools.search_client import stored_spans
from ops.drills.tools.span_load import (
    SPANS_PER_TRACE,
    Sort,
    SpanLoad,
    Stored,
    Traffic,
    await_decisions,
    await_stored,
    prepared,
)
from ops.telemetry.traces import TraceReader, fetch_token
from tests.e2e import durations as own_durations
from tests.support.results import recorded
from tests.support.traces_login import browser, sign_in, token_of
from tests.support.traces_request_flow import SentRequestFlow, send_request_flow

DOCUMENT_SECONDS = 150
PEOPLE = {"public": "visitor", "internal": "developer", "confidential": "investigator"}
"""Class -> somebody who is cleared for it and no more, as the lab's identity provider knows them."""


@pytest.fixture(scope="module")
def everything(context: Context) -> TraceReader:
    """Reads with the highest clearance."""
    return reader(context, CLASSES[-1], fetch_token(context.web, context.platform))


@pytest.fixture(scope="module")
def people() -> dict[str, Login]:
    """Class -> login of somebody who is cleared for it and no more."""
    passwords = identity.people(LabPaths.of_checkout())
    return {name: Login(username=person, password=passwords[person]) for name, person in PEOPLE.items()}


def by_service(one: TraceReader, service: str, *, errors: bool = False) -> set[str]:
    """Ids of the newest traces of a service."""
    return {trace.trace_id for trace in one.search(service, errors=errors, since_s=60, limit=20)}


@pytest.mark.timeout(180)
def test_one_trace_through_five_services_is_found_soon_after_its_end(
    context: Context, everything: TraceReader, tmp_path: Path
) -> None:
    services = [service.name for service in TRACED_SERVICES]
    with recorded("trace-journey", context.kube) as figures:
        # One that nobody measures, so that the trace is not the first that the parts in between ever see.
        (tmp_path / "first").mkdir()
        send_request_flow(context.platform, tmp_path / "first")
        sent = send_request_flow(context.platform, tmp_path)
        figures["services"], figures["spans"] = len({service for service, _ in sent.spans}), len(sent.spans)
        assert {service for service, _ in sent.spans} == set(services)

        questions: dict[str, Callable[[], bool]] = {
            "by trace id": lambda: spans_of(everything, sent) == sent.spans,
            "by its error": lambda: sent.trace_id in by_service(everything, ANALYSIS_UI.name, errors=True),
            **{f"by service {service}": partial(finds, everything, sent.trace_id, service) for service in services},
        }
        # One after the other at first: seven who ask all the time would slow down what they wait for.
        first, *others = questions
        times = {first: found_after(sent, first, questions[first])}
        with ThreadPoolExecutor(len(others)) as pool:
            delays = pool.map(lambda place: found_after(sent, place, questions[place]), others)
            times |= dict(zip(others, delays, strict=True))
        figures |= {f"found {what} after s": seconds for what, seconds in times.items()}
        assert max(times.values()) <= FOUND_SECONDS, times


def finds(one: TraceReader, trace_id: str, service: str) -> bool:
    """Whether a trace is among the newest of a service."""
    return trace_id in by_service(one, service)


def found_after(sent: SentRequestFlow, what: str, is_found: Callable[[], bool]) -> float:
    """Seconds from the end of a request flow until a query shows it, without the time of the query itself."""
    asked_at = 0.0

    def ask() -> bool:
        nonlocal asked_at
        asked_at = time.time()
        return is_found()

    wait_until(ask, 60, f"the request flow, {what}", 0.5)
    return round(asked_at - sent.ended, 1)


def spans_of(one: TraceReader, sent: SentRequestFlow) -> frozenset[tuple[str, str]]:
    """Service and name of the spans that a reader sees of a request flow; none when it sees no such trace."""
    if not names(one, sent.trace_id):
        return frozenset()
    return frozenset((span.service, span.name) for span in one.one(sent.trace_id).spans)


@pytest.mark.timeout(240)
def test_the_dependency_map_is_the_graph_of_the_services(context: Context) -> None:
    with recorded("dependency-map", context.kube) as figures:
        token = fetch_token(context.web, context.platform)
        wait_until(lambda: set(calls_in_jaeger(context, token)) >= set(EDGES), DOCUMENT_SECONDS, "Jaeger's map", 3.0)
        wait_until(lambda: set(calls_in_prometheus(context)) >= set(EDGES), DOCUMENT_SECONDS, "Prometheus' map", 3.0)
        in_jaeger, in_prometheus = calls_in_jaeger(context, token), calls_in_prometheus(context)
        for caller, called in EDGES:
            figures[f"{caller} -> {called}"] = (
                f"{in_jaeger[caller, called]:.0f} in Jaeger, {in_prometheus[caller, called]:.0f} in Prometheus"
            )
        assert set(in_jaeger) == set(EDGES)
        assert set(in_prometheus) == set(EDGES)


@pytest.mark.timeout(420)
def test_failed_and_slow_traces_are_kept_and_a_tenth_of_the_rest(settled: Context) -> None:
    limits = budget(settled)
    with recorded("sampling-kept", settled.kube) as figures:
        before = decisions(settled)
        rate = min(0.6 * limits.traces_per_s(SPANS_PER_TRACE), own_durations.KEPT_RATE)
        stored, load = kept(settled, own_durations.KEPT_TRACES, rate, limits)
        figures |= {"traces": len(load.sent.sorts), "traces/s": round(load.rate)}
        for sort in (Sort.FAILED, Sort.SLOW):
            wanted = load.sent.of(sort)
            figures[f"{sort} kept"] = f"{len(stored.whole(wanted))} of {len(wanted)}"
        base = share(stored, load)
        figures["of the rest kept"] = f"{base:.2%} of {len(load.sent.of(Sort.PLAIN))}"
        figures["torn"], figures["stored twice"] = len(stored.torn(set(load.sent.sorts))), stored.doubled
        time.sleep(12)
        after = decisions(settled)
        figures |= {f"decided by {name}": round(after[name] - before.get(name, 0)) for name in after}
        for sort in (Sort.FAILED, Sort.SLOW):
            wanted = load.sent.of(sort)
            assert len(wanted) > 50
            assert stored.whole(wanted) == wanted, f"{sort} traces are missing"
        assert abs(base - limits.share) <= 0.01
        assert not stored.torn(set(load.sent.sorts))


def kept(context: Context, count: int, per_second: float, limits: Budget) -> tuple[Stored, SpanLoad]:
    """Send traces at a rate, wait for their fate."""
    search, traffic = stored_spans(context), Traffic(SystemRandom().getrandbits(48))
    # About ten batches a second: each is a request per layer, and each request waits for the gateway's disk.
    batches = prepared(traffic, max(1, round(per_second / 10)), count)
    with SpanLoad(context, iter(batches), per_second=per_second, workers=6) as load:
        load.finish(count / per_second * 2 + 60)
    assert not load.ledger.given_up, load.ledger.problems
    await_decisions(context, durations.ARRIVAL, limits.wait_s)
    wanted = load.sent.of(Sort.FAILED) | load.sent.of(Sort.SLOW)
    return await_stored(search, load.sent, load.begun, wanted, durations.ARRIVAL), load


def share(stored: Stored, load: SpanLoad) -> float:
    """Share of the traces that are neither failed nor slow that is stored."""
    plain = load.sent.of(Sort.PLAIN)
    return len(stored.whole(plain)) / len(plain)


@pytest.mark.timeout(420)
def test_the_base_rate_falls_under_five_times_the_load_and_comes_back(settled: Context) -> None:
    limits = budget(settled)
    quiet = 0.6 * limits.traces_per_s(SPANS_PER_TRACE)
    with recorded("sampling-adaptive", settled.kube) as figures:
        shares = []
        for name, rate in (("quiet", quiet), ("five times", 5 * quiet), ("quiet again", quiet)):
            stored, load = kept(settled, round(rate * own_durations.SAMPLING_PHASE), rate, limits)
            shares.append(share(stored, load))
            important = load.sent.of(Sort.FAILED) | load.sent.of(Sort.SLOW)
            figures[f"{name}: spans/s"] = round(load.rate * SPANS_PER_TRACE)
            figures[f"{name}: of the rest kept"] = f"{shares[-1]:.2%} of {len(load.sent.of(Sort.PLAIN))}"
            figures[f"{name}: failed and slow kept"] = f"{len(stored.whole(important))} of {len(important)}"
            assert stored.whole(important) == important, "failed or slow traces are missing"
            # Otherwise nothing would be shown: the load has to be one under which the rate should fall.
            assert load.rate > 0.5 * rate, f"{name}: only {load.rate:.0f} of {rate:.0f} traces/s got through"
        normal, loaded, after = shares
        assert loaded < 0.7 * normal
        assert after > 0.8 * normal
        assert after > loaded


@pytest.mark.timeout(180)
def test_who_lacks_the_group_gets_no_confidential_trace_by_page_or_api(
    context: Context, everything: TraceReader, people: dict[str, Login]
) -> None:
    urls = context.platform.trace_query_urls
    with recorded("trace-confidentiality", context.kube) as figures:
        trace_id = send(context)
        wait_until(lambda: names(everything, trace_id) == set(CLASSES), 60, "the mixed trace", 0.5)
        tried = 0
        for own, person in people.items():
            token = token_of(context, person, own)
            for clearance, url in urls.items():
                allowed = clearance in readable(own)
                paths = (
                    "/search",
                    "/api/services",
                    "/api/v3/services",
                    f"/api/traces/{trace_id}",
                    f"/trace/{trace_id}",
                )
                for path in paths:
                    tried += 1
                    status, classes = answered(context, url + path, token)
                    assert (status == 403) != allowed, f"{person.username} at {clearance}{path} is answered {status}"
                    assert classes <= set(readable(clearance)), f"{clearance}{path} shows {classes}"
                if allowed:
                    own_reader = reader(context, clearance, token)
                    assert shown({clearance: own_reader}, trace_id) == {clearance: set(readable(clearance))}
                with browser(context) as session:
                    page = sign_in(context, session, clearance, person)
                    tried += 1
                    assert (page.status_code == 403) != allowed, (
                        f"{person.username} signs in at {clearance}: {page.status_code}"
                    )
        figures["requests by three people at three clearances"], figures["let through wrongly"] = tried, 0
        public = reader(context, CLASSES[0], token_of(context, people[CLASSES[0]], CLASSES[0]))
        figures["spans of the mixed trace that public shows"] = f"{len(names(public, trace_id))} of {len(CLASSES)}"
        assert shown({CLASSES[0]: public}, trace_id) == {CLASSES[0]: {CLASSES[0]}}


def answered(context: Context, url: str, token: str) -> tuple[int, set[str]]:
    """Status of a page, and the classes whose spans stand in it."""
    with context.web.call("GET", url, headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status_code, set(re.findall(r'"operationName":"(\w+)"', response.text)) & set(CLASSES)


@pytest.mark.timeout(180)
def test_ops_trace_shows_what_its_clearance_allows(context: Context, everything: TraceReader) -> None:
    trace_id = send(context)
    wait_until(lambda: names(everything, trace_id) == set(CLASSES), 60, "the mixed trace", 0.5)
    said = {clearance: ops_trace(trace_id, "--clearance", clearance) for clearance in CLASSES}
    for clearance, done in said.items():
        assert done.returncode == 0, done.stderr[-500:]
        assert {name for name in CLASSES if f" {name}  +" in done.stdout} == set(readable(clearance)), done.stdout
    newest = ops_trace("--service", "ops-verify", "--errors", "--limit", "100", "--since", "5m")
    assert trace_id in newest.stdout
    missing = ops_trace("0" * 31 + "1")
    assert missing.returncode != 0
    assert "Traceback" not in missing.stderr


def ops_trace(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ops trace`` as its users do."""
    return subprocess.run(
        [sys.executable, "-m", "ops", "trace", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
