"""J1 to J3, O4: Jaeger's topology works from end to end, maps the services, and shows nobody more than it may see; what
the samplers keep: failed and slow traces whole, a share of the rest that falls with load.

The search cluster is as the index manager reports it.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from components.jaeger.collector import WORKLOAD as COLLECTOR
from components.jaeger.config import SAMPLING_PORT
from components.sampler import BASE, ERRORS, POLICIES, SAMPLING, SLOW, WORKLOAD
from components.search.access import INDEX_MANAGER
from components.telemetry.attributes import ATTRIBUTE, CLASSES, readable
from components.telemetry.layers import Signal, layers_sending
from components.telemetry.services import DEFAULT_LATENCY_LIMIT_MS, EDGES, TRACED_SERVICES
from ops.checks.grace_period import grace_period_end
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.rows import Check, Finding, listed, not_set_up
from ops.telemetry.traces import TraceReader, fetch_token

_DECIDED = "otelcol_processor_tail_sampling_count_traces_sampled_total"
_DROPPED = (
    "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total",
    "otelcol_processor_tail_sampling_traces_dropped_too_large_total",
)
_COUNTED_S, _PAUSE_S = 60.0, 2.0
"""From a decision until its count is at the read address, at most; between two questions for it."""


@dataclass(frozen=True)
class Budget:
    """What the running samplers keep of the traces that are neither failed nor slow.

    Attributes:
        share: Share of them, as long as the budget lasts.
        spans_per_s: Spans per second of them that one sampler keeps at most.
        wait_s: Seconds from a trace's first span to its decision.
        samplers: Number of samplers.
    """

    share: float
    spans_per_s: float
    wait_s: float
    samplers: int

    def traces_per_s(self, spans_per_trace: float) -> float:
        """Traces per second of all samplers together up to which the share holds."""
        return self.samplers * self.spans_per_s / self.share / spans_per_trace


def budget(context: Context) -> Budget:
    """The budget in the configuration that the samplers run with.

    Raises:
        OpsError: They have no such policy.
    """
    config = yaml.safe_load(context.kube.config_map(WORKLOAD)["config.yaml"])["processors"][SAMPLING]
    parts = {
        part["type"]: part
        for policy in config["policies"]
        if policy["name"] == BASE
        for part in policy.get("and", {}).get("and_sub_policy", [])
    }
    try:
        share = float(parts["probabilistic"]["probabilistic"]["sampling_percentage"]) / 100
        spans = float(parts["rate_limiting"]["rate_limiting"]["spans_per_second"])
    except KeyError:
        raise OpsError(f"the samplers' configuration has no policy {BASE} of a share and a limit") from None
    wait = str(config["decision_wait"])
    return Budget(share, spans, float(wait.removesuffix("s")), len(context.kube.pods(WORKLOAD)))


def decisions(context: Context) -> dict[str, float]:
    """Policy -> traces that it has kept so far."""
    samples = context.thanos.instant(f'sum by (policy) ({_DECIDED}{{job="{WORKLOAD}",sampled="true"}})')
    return {sample.labels["policy"]: sample.value for sample in samples}


def provoked(context: Context, limits: Budget) -> dict[str, float]:
    """Decisions after a failed and a slow trace were sent, as soon as they are counted, or after a limited time."""
    layer = layers_sending(Signal.TRACES)[0].name
    resource = otlp.resource_of(layer, "ops-verify", "ops-verify")
    probes = {
        "failed": otlp.span(resource, "ops-verify-failed", failed=True),
        "slow": otlp.span(resource, "ops-verify-slow", milliseconds=2 * DEFAULT_LATENCY_LIMIT_MS),
    }
    for name, probe in probes.items():
        status, rejected = context.otlp.traces(probe, layer)
        if (status, rejected) != (200, 0):
            raise OpsError(f"the gateway answered {status} to a {name} trace and rejected {rejected} spans")
    deadline = time.monotonic() + limits.wait_s + _COUNTED_S
    while not {ERRORS, SLOW} <= set(kept := decisions(context)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    return kept


def o4(context: Context) -> Finding:
    """The policies run, nothing is dropped undecided, and the drills showed the shares."""
    finding = Finding()
    limits = budget(context)
    ready = [pod for pod in context.kube.pods(WORKLOAD) if pod.ready]
    finding.expect(len(ready) == limits.samplers > 0, f"{len(ready)} of {limits.samplers} samplers are ready")
    kept = decisions(context)
    if not {ERRORS, SLOW} <= set(kept):
        # Nobody knows when the first trace of these sorts comes by itself.
        kept = provoked(context, limits)
    for policy in POLICIES:
        problem = f"policy {policy} has made no decision"
        finding.expect_by(grace_period_end(context), policy in kept, f"first trace kept by policy {policy}", problem)
    finding.figures.append(", ".join(f"{policy} kept {kept.get(policy, 0):.0f}" for policy in POLICIES))
    for metric in _DROPPED:
        dropped = context.thanos.number(f'increase({metric}{{job="{WORKLOAD}"}}[1h])') or 0
        finding.expect(not dropped, f"{dropped:.0f} traces were dropped without a decision in the last hour ({metric})")
    finding.figures.append(
        f"base {limits.share:.0%} up to {limits.samplers * limits.spans_per_s / limits.share:.0f} spans/s"
    )
    head = f"{context.tunnels.url(context.kube.ready_pod(COLLECTOR).name, SAMPLING_PORT)}/api/sampling?service=any"
    finding.expect_equal("head sampling without a password", context.web.status(head), 401)
    finding.seen.append(f"{len(ready)} samplers, decision {limits.wait_s:.0f} s after a trace's first span")
    finding.drill("sampling-kept", "sampling-adaptive")
    return finding


_GREEN = 0.0
_INDEX_MANAGER = f'{{job="{INDEX_MANAGER}"}}'


def search_healthy(context: Context, finding: Finding) -> None:
    """Every node is there, every copy of every shard is assigned, and the index manager goes on."""
    thanos = context.thanos
    status = thanos.number(f"max(search_cluster_status{_INDEX_MANAGER})")
    finding.expect(status == _GREEN, f"status of the search cluster is {_word(status)}, must be green")
    nodes, expected = (
        thanos.number(f"max(search_nodes{_INDEX_MANAGER})"),
        thanos.number(f"max(search_nodes_expected{_INDEX_MANAGER})"),
    )
    finding.expect(
        nodes is not None and nodes == expected, f"{nodes or 0:.0f} search nodes, must be {expected or 0:.0f}"
    )
    finding.figures.append(f"search {_word(status)}, {nodes or 0:.0f} nodes")


def documents(context: Context, family: str) -> float:
    """Documents in a family of indices, as the index manager counts them."""
    return context.thanos.number(f'max(search_family_documents{{job="{INDEX_MANAGER}",family="{family}"}})') or 0.0


def _word(status: float | None) -> str:
    return {0.0: "green", 1.0: "yellow", 2.0: "red"}.get(status if status is not None else -1.0, "not reported")


PODS = 2
FOUND_SECONDS = 15.0
"""From the end of a trace to its being found, the sampler's decision wait included."""
_PATIENCE_SECONDS = 60.0
_REFRESH_SECONDS = 15.0
"""From one query's showing all of a trace to every query's doing so: the refresh interval of an index, and more."""
_AGENT = "otel-agent"
_COLLECTOR = "jaeger-collector"
_MAP_HOURS = 24
_PERCENTILES = ("p50", "p95", "p99")
Calls = dict[tuple[str, str], float]
"""(caller, called) -> number of calls."""


def probe(trace_id: bytes, classes: Sequence[str]) -> ExportTraceServiceRequest:
    """One trace with a failed span of each class, named after it; samplers keep failed traces."""
    layer = layers_sending(Signal.TRACES)[0].name
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(otlp.attributes(otlp.resource_of(layer, "ops-verify", "ops-verify")))
    spans = group.scope_spans.add().spans
    now, parent = time.time_ns(), b""
    for name in classes:
        span = spans.add(
            trace_id=trace_id,
            span_id=secrets.token_bytes(8),
            parent_span_id=parent,
            name=name,
            start_time_unix_nano=now - 2_000_000,
            end_time_unix_nano=now,
            attributes=otlp.attributes({ATTRIBUTE: name}),
        )
        span.status.code = Status.STATUS_CODE_ERROR
        parent = span.span_id
    return request


PAGES = "traces.identity"
"""What the stack file says of the pages of traces."""


def reader(context: Context, clearance: str, token: str) -> TraceReader:
    """Reads with one clearance."""
    return TraceReader(context.web, context.platform.trace_query_urls[clearance], token, clearance)


def names(one: TraceReader, trace_id: str) -> set[str]:
    """Names of the spans that a reader sees of a trace; none when it sees no such trace."""
    try:
        return {span.name for span in one.one(trace_id).spans}
    except OpsError as error:
        if "no trace" in str(error):
            return set()
        raise


def send(context: Context, classes: Sequence[str] = CLASSES) -> str:
    """Send a probe through the gateway; its trace id.

    Raises:
        OpsError: The gateway does not take it.
    """
    trace_id = secrets.token_bytes(16)
    status, rejected = context.otlp.traces(probe(trace_id, classes), layers_sending(Signal.TRACES)[0].name)
    if (status, rejected) != (200, 0):
        raise OpsError(f"the gateway answered {status} to a trace and rejected {rejected} spans")
    return trace_id.hex()


def j1(context: Context) -> Finding:
    """Collectors and queries twice, an agent on every node, and a trace that goes all the way."""
    if lines := context.platform.left_out(PAGES):
        return not_set_up(lines)
    finding = Finding()
    for workload in (_COLLECTOR, *(f"jaeger-query-{name}" for name in context.platform.trace_query_urls)):
        ready = [pod for pod in context.kube.pods(workload) if pod.ready]
        finding.expect(len(ready) >= PODS, f"{len(ready)} pods of {workload} are ready, must be {PODS}")
        finding.figures.append(f"{workload} {len(ready)}")
    agents = [pod for pod in context.kube.pods(_AGENT) if pod.ready]
    nodes = len(context.kube.core.list_node(_request_timeout=15).items)
    finding.expect_equal("number of agents that are ready", len(agents), nodes)
    everything = reader(context, CLASSES[-1], fetch_token(context.web, context.platform))
    trace_id = send(context)
    took = wait_until(
        lambda: names(everything, trace_id) == set(CLASSES), _PATIENCE_SECONDS, "the probe's trace in Jaeger", 0.5
    )
    finding.expect(took <= FOUND_SECONDS, f"a trace was found after {took:.0f} s, at most {FOUND_SECONDS:.0f}")
    finding.figures.append(f"trace found after {took:.1f} s")
    finding.seen.append(f"{len(agents)} agents on {nodes} nodes; trace {trace_id} from the gateway to the query")
    search_healthy(context, finding)
    finding.drill("jaeger-collector-killed", "search-node-killed", "sampler-killed", "agent-killed")
    return finding


def calls_in_jaeger(context: Context, token: str, clearance: str = CLASSES[-1]) -> Calls:
    """The dependency map that Jaeger shows as "System Architecture".

    Raises:
        OpsError: The query refuses, or does not answer as Jaeger does.
    """
    url = f"{context.platform.trace_query_urls[clearance]}/api/dependencies"
    params = {"endTs": str(time.time_ns() // 10**6), "lookback": str(_MAP_HOURS * 3_600_000)}
    with context.web.call("GET", url, params=params, headers={"Authorization": f"Bearer {token}"}) as response:
        if response.status_code != 200:
            raise OpsError(f"{url} answered {response.status_code}")
        try:
            dependencies = response.json()["data"] or []
        except (ValueError, KeyError, TypeError):
            raise OpsError(f"{url} did not answer as Jaeger does") from None
    return {
        (str(dependency["parent"]), str(dependency["child"])): float(dependency["callCount"])
        for dependency in dependencies
    }


def calls_in_prometheus(context: Context) -> Calls:
    """The dependency map as data for dashboards."""
    samples = context.thanos.instant(
        'sum by (client, server) (traces_service_graph_request_total{job="service-graph"})'
    )
    return {(sample.labels["client"], sample.labels["server"]): sample.value for sample in samples if sample.value}


def j2(context: Context) -> Finding:
    """The map equals the services' graph, and every service has its percentiles."""
    if lines := context.platform.left_out(PAGES):
        return not_set_up(lines)
    finding = Finding()
    maps = {
        "Jaeger": calls_in_jaeger(context, fetch_token(context.web, context.platform)),
        "Prometheus": calls_in_prometheus(context),
    }
    due = grace_period_end(context)
    for where, calls in maps.items():
        missing, more = set(EDGES) - set(calls), set(calls) - set(EDGES)
        lacks = listed(" -> ".join(edge) for edge in missing)
        finding.expect_by(due, not missing, f"first calls {lacks} in {where}", f"{where} lacks {lacks}")
        finding.expect(not more, f"{where} shows calls that do not exist: {listed(' -> '.join(edge) for edge in more)}")
        finding.figures.append(f"{where}: {len(calls)} edges, {sum(calls.values()):.0f} calls")
    for percentile in _PERCENTILES:
        samples = context.thanos.instant(f"max by (service_name) (obs:span_latency:{percentile})")
        values = {sample.labels["service_name"]: sample.value for sample in samples}
        lacking = [service.name for service in TRACED_SERVICES if service.name not in values]
        what = f"{percentile} of {listed(lacking)}"
        finding.expect_by(due, not lacking, f"first {what}", f"no {what}")
        slowest = max((values.get(service.name, 0.0) for service in TRACED_SERVICES), default=0.0)
        finding.figures.append(f"slowest {percentile} {slowest * 1000:.0f} ms")
    finding.seen.append(f"maps of the last {_MAP_HOURS} h compared with {len(EDGES)} calls of the catalogue")
    finding.drill("trace-journey", "dependency-map")
    return finding


def forged(token: str) -> dict[str, str]:
    """Tokens that must be refused: a real one with a changed claim, and one that nobody signed."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    changed = _part({**claims, "sub": "somebody-else"})
    return {
        "changed": f"{head}.{changed}.{signature}",
        "not signed": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
    }


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def j3(context: Context) -> Finding:
    """No way in without a login, and with each clearance exactly its classes."""
    finding = Finding()
    urls = context.platform.trace_query_urls
    if lines := context.platform.left_out(PAGES):
        return not_set_up(lines)
    finding.expect_equal("clearances", listed(urls), listed(CLASSES))
    token = fetch_token(context.web, context.platform)
    for clearance, url in urls.items():
        for what, headers in {
            "without a token": {},
            **{
                f"token {kind}": {"Authorization": f"Bearer {forged_token}"}
                for kind, forged_token in forged(token).items()
            },
        }.items():
            with context.web.call("GET", f"{url}/api/services", headers=headers) as response:
                finding.expect(
                    response.status_code in (401, 403), f"{clearance}: {what}: answered {response.status_code}"
                )
    trace_id = send(context)
    readers = {clearance: reader(context, clearance, token) for clearance in urls}
    everything = readers[CLASSES[-1]]
    wait_until(lambda: names(everything, trace_id) == set(CLASSES), _PATIENCE_SECONDS, "the probe's trace", 0.5)
    for clearance, seen in shown(readers, trace_id).items():
        finding.expect_equal(f"classes that {clearance} shows", listed(seen), listed(readable(clearance)))
        finding.figures.append(f"{clearance} shows {len(seen)} of {len(CLASSES)} classes")
    finding.seen.append("a missing, an altered and an unsigned token are refused by every Jaeger query")
    finding.drill("trace-confidentiality")
    return finding


def shown(readers: Mapping[str, TraceReader], trace_id: str) -> dict[str, set[str]]:
    """What of a trace each clearance has shown in some answer; asked until each has shown its classes, then once more.

    Copies of an index refresh at their own times: one answer may lack a span that the one before had.
    """
    seen: dict[str, set[str]] = {clearance: set() for clearance in readers}

    def look() -> bool:
        for clearance, trace_reader in readers.items():
            seen[clearance] |= names(trace_reader, trace_id)
        return all(seen[clearance] >= set(readable(clearance)) for clearance in readers)

    with suppress(OpsError):
        wait_until(look, _REFRESH_SECONDS, "the probe's trace at every clearance", 0.5)
    look()
    return seen


CHECKS: dict[str, Check] = {"J1": j1, "J2": j2, "J3": j3, "O4": o4}
