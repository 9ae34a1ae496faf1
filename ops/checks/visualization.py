"""G1 to G4, R1, S2: where people read. Two Grafana on one database, dashboards that answer, reports, waiting times."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from components.agent import WORKLOAD as AGENT
from components.dashboards.model import Dashboard
from components.dashboards.promql import metrics
from components.dashboards.registry import DASHBOARDS
from components.reports import SCHEDULES, workload_name
from components.telemetry.layers import LAYERS
from ops.checks import access
from ops.checks.access import grafana_settings
from ops.checks.alerting import LATENCY_DRILLS
from ops.checks.grace_period import first_run, grace_period_end, series_due
from ops.core.access import report_access
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.grafana import (
    METRICS,
    PORT,
    REPLICAS,
    WORKLOAD,
    Grafana,
    address,
    administrator,
    known_credentials,
    panels_of,
)
from ops.core.platform import Login
from ops.core.rows import Check, Finding, listed
from ops.dashboards.command import CHECK_RANGE, as_viewer, check, query_client, rows
from ops.dashboards.panel_queries import Result, latencies, quantile, span
from ops.loadtest.virtual_users import run_virtual_users, through_grafana
from ops.reports import ReportClient

NODE_RECORDINGS: Final[Mapping[str, str]] = {
    "CPU": "obs:node_cpu_busy:ratio",
    "load": "obs:node_load_per_processor:ratio",
    "memory": "obs:node_memory_used:ratio",
    "disk": "obs:node_disk_waiting:rate2m",
}
"""What is told of each node -> the recording with it."""
MEASURED_WITHIN: Final = timedelta(minutes=5)
"""From the start of a node's agent until rates of two minutes have been scraped and recorded."""


def nodes_measured(context: Context, finding: Finding) -> None:
    """Each node with an agent has a value of every recording at the read address; an agent that is new is waited for.

    The panels of these recordings show nothing or zero where a node is missing, so that an empty one is no sign of it.
    Nobody tells of a node's network: an agent sees that of its own pod (docs/adr/0078), and the dashboard shows what
    the platform's servers send and receive.

    Raises:
        OpsError: Kubernetes or Thanos Query does not answer.
    """
    nodes, grace_end = agents(context), grace_period_end(context)
    finding.expect(bool(nodes), f"no pod of {AGENT} has a node")
    for what, recording in NODE_RECORDINGS.items():
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
    finding.seen.append(f"{listed(NODE_RECORDINGS)} of {listed(nodes)}")


def agents(context: Context) -> dict[str, datetime]:
    """Node -> when its agent started; where it has two, since one is being replaced, the older one counts.

    Raises:
        OpsError: Kubernetes does not answer.
    """
    started: dict[str, datetime] = {}
    for pod in context.kube.pods(AGENT):
        if pod.node and not pod.ending:
            at = datetime.fromtimestamp(pod.started, UTC) if pod.started else datetime.now(UTC)
            started[pod.node] = min(at, started.get(pod.node, at))
    return started


LOADTEST_DRILLS = ("dashboard-load", "dashboard-load-prometheus-down")
SESSION_DRILLS = ("grafana-replica-killed", "grafana-database-killed")
REPORTS_DRILL = "reports-run"
DATABASE, STANDBYS = "postgres", "pg_standbys_wanted"
REPORT_TIME = "report_newest_timestamp_seconds"
REPORT_DUE, REPORT_FAILED = "report_due_timestamp_seconds", "report_last_run_failed"
REPORT_FORMS = (".html", ".pdf")
OVERVIEW = ("overview",)
DETAILS = (*(f"layer-{layer.name}" for layer in LAYERS), "traces")
OPERATIONS = ("operations", "kafka", "alerting", "visualization", "recovery")
SUBJECTS = {
    "CPU": "process_cpu_seconds",
    "memory": "resident_memory",
    "disk": "disk_used",
    "network": "process_network_",
    "state of pods": "kube_pod_status_phase",
    "state of nodes": "kube_node_status_condition",
    **{f"{what} of nodes": recording for what, recording in NODE_RECORDINGS.items()},
    "usage of volumes": "obs:volume_used:ratio",
    "health of Kafka": "underreplicatedpartitions",
    "query performance of Prometheus": "prometheus_engine_query_duration",
    "backup": "backup_",
    "readiness of the other region": "failover_agent_peer_",
    "replication of Kafka from the other region": "obs:mirror_",
}
"""What G4 wants to be shown, and a part of a metric's name by which it is."""

RUNS_WITH = (
    ("database", "type", "postgres"),
    ("database", "ssl_mode", "verify-full"),
    ("unified_alerting", "enabled", "false"),
)
"""Section, key and value: a shared database whose certificate and name are verified, and no alerts of its own."""

SHORT_USERS, SHORT_SECONDS, SHORT_THINK_S = 5, 20.0, 8.0
"""A look beside whatever else runs; fifty people at once are the drill's (`dashboard-load`)."""
THROUGHPUT = {
    **dict.fromkeys(("bench-metrics", "sustained-metrics"), "sustained points/s"),
    **dict.fromkeys(("bench-traces", "sustained-traces"), "sustained spans/s"),
}
"""Evidence of the bench, and the figure of each that has a target."""


def visitor(context: Context) -> Grafana:
    """Grafana's administrator."""
    return Grafana(context.ca_file, address(context.platform), auth=administrator(context.platform))


def g1(context: Context) -> Finding:
    """Two replicas behind one address; a session of one is good at the other; the database is reached as it must."""
    finding = Finding()
    pods = [pod.name for pod in context.kube.pods(WORKLOAD) if pod.ready]
    finding.expect_equal("number of ready Grafana replicas", len(pods), REPLICAS)
    settings = grafana_settings(context.kube, context.kube.ready_pod(WORKLOAD).name)
    for section, key, wanted in RUNS_WITH:
        finding.expect_equal(f"[{section}] {key} of Grafana", settings.of(section, key), wanted)
    finding.expect(bool(settings.of("database", "ca_cert_path")), "no CA is configured to verify the database")
    with Grafana(context.ca_file, address(context.platform)) as anybody:
        finding.expect_equal("database state in Grafana's health", anybody.get("/api/health")["database"], "ok")
        finding.expect_equal("response without a login", anybody.status("GET", "/api/search"), 401)
    _followed(context, finding)
    worked = _across(context, pods, finding)
    finding.figures.append(f"{len(pods)} replicas, {worked} sessions tried at the other replica")
    finding.seen.append(f"database {settings.of('database', 'host')} with {settings.of('database', 'ssl_mode')}")
    finding.drill(*SESSION_DRILLS)
    return finding


def _followed(context: Context, finding: Finding) -> None:
    """Standbys follow the database, where it is one of the platform's own."""
    if not context.kube.pods(DATABASE):
        return
    following, wanted = (context.thanos.number(f"max({name})") for name in ("pg_standbys_streaming", STANDBYS))
    finding.expect(wanted is not None, f"{STANDBYS} has no series")
    finding.expect_equal("standbys that replicate the database", following, wanted)
    finding.figures.append(f"{following or 0:.0f} of {wanted or 0:.0f} standbys replicate")


def _across(context: Context, pods: Sequence[str], finding: Finding) -> int:
    """Log in at each replica and use the session at each other one."""
    tried = 0
    urls = {pod: context.tunnels.url(pod, PORT) for pod in pods}
    for maker in pods:
        with Grafana.sign_in(context.ca_file, urls[maker], administrator(context.platform)) as person:
            for other in (pod for pod in pods if pod != maker):
                tried += 1
                with person.at(urls[other]) as there:
                    finding.expect_equal(
                        f"response of {other} to a session of {maker}", there.status("GET", _SELF), 200
                    )
            person.status("GET", "/logout")
            for other in (pod for pod in pods if pod != maker):
                with person.at(urls[other]) as there:
                    finding.expect_equal(
                        f"response of {other} after the logout at {maker}", there.status("GET", _SELF), 401
                    )
    return tried


_SELF = "/api/user"


def dashboards_check(names: Sequence[str], subjects: dict[str, str] | None = None) -> Check:
    """Check that dashboards are in Grafana as they are here, and that every panel of them has data now."""
    chosen = tuple(dashboard for dashboard in DASHBOARDS if dashboard.name in names)

    def look(context: Context) -> Finding:
        finding = Finding()
        missing = set(names) - {dashboard.name for dashboard in chosen}
        finding.expect(not missing, f"no such dashboard: {listed(missing)}")
        for subject, part in (subjects or {}).items():
            expressions = [query.expr for dashboard in chosen for panel in dashboard.panels for query in panel.queries]
            finding.expect(any(part in expression for expression in expressions), f"no panel shows {subject}")
        with visitor(context) as grafana:
            finding.expect_equal(
                "health of the data source of metrics",
                grafana.status("GET", f"/api/datasources/uid/{METRICS}/health"),
                200,
            )
            for dashboard in chosen:
                _present(grafana, dashboard, finding)
        with as_viewer(context) as viewer:
            checked = check(viewer, chosen, span(CHECK_RANGE))
        _answers(context, checked, finding)
        return finding

    return look


def _present(grafana: Grafana, dashboard: Dashboard, finding: Finding) -> None:
    try:
        dashboard_model = grafana.get(f"/api/dashboards/uid/{dashboard.uid}")["dashboard"]
    except OpsError as error:
        finding.wrong.append(f"{dashboard.name}: {error}")
        return
    shown = [panel["title"] for panel in panels_of(dashboard_model)]
    finding.expect_equal(
        f"panels of Grafana's {dashboard.uid}", listed(shown), listed(panel.title for panel in dashboard.panels)
    )


def _answers(context: Context, checked: Sequence[tuple[Dashboard, list[Result]]], finding: Finding) -> None:
    results = [result for _, panel_results in checked for result in panel_results]
    for dashboard, panel_results in checked:
        late: dict[datetime, list[str]] = {}
        for result in panel_results:
            if result.empty:
                metric_names = set().union(*(metrics(query.expr) for query in result.panel.queries))
                late.setdefault(series_due(context, metric_names), []).append(result.panel.title)
        for due, empty in late.items():
            named = f"{dashboard.name}: {listed(empty)}"
            finding.expect_by(due, False, f"data of {named}", f"no data in {named}")
        problems = [problem for result in panel_results for problem in result.problems]
        finding.expect(not problems, f"{dashboard.name}: {'; '.join(problems[:2])}")
    times, queries = latencies(results), rows(checked)
    full = sum(not result.empty for result in results)
    finding.figures.append(f"{full} of {len(results)} panels with data")
    if times:
        finding.figures.append(f"{len(queries)} queries, P95 {quantile(times, 0.95) * 1000:.0f} ms")
    finding.seen.append(f"{listed(dashboard.name for dashboard, _ in checked)} in Grafana, queried as its pages do")


def g4(context: Context) -> Finding:
    """Dashboards of operations show every subject and have data, and every node with an agent is measured."""
    finding = dashboards_check(OPERATIONS, SUBJECTS)(context)
    nodes_measured(context, finding)
    return finding


def r1(context: Context) -> Finding:
    """The latest report of each kind is stored, whole; none is late, and the last runs went well."""
    finding = Finding()
    newest, due, failed = (_by_kind(context, name) for name in (REPORT_TIME, REPORT_DUE, REPORT_FAILED))
    stored, now = ReportClient(context, report_access(context.platform)).listing().reports, time.time()
    for kind, schedule in SCHEDULES.items():
        over = [report for report in stored if report.kind == kind and report.period_end.timestamp() <= now]
        if not newest.get(kind) or not over:
            first_run(
                finding,
                context.kube.cron_job(workload_name(kind)),
                timedelta(seconds=schedule.start_within_s + schedule.limit_s),
                f"first {kind} report",
                f"no {kind} report of a completed period is in the object storage",
                f"ops report run {kind}",
            )
            continue
        late = timedelta(seconds=now - due.get(kind, 0.0))
        finding.expect(late <= timedelta(), f"the next {kind} report is overdue by {_hours(late)}")
        finding.expect(not failed.get(kind), f"the last run of the {kind} report failed")
        for form in REPORT_FORMS:
            files = [file for file in over[0].files if file.path.endswith(form) and file.bytes > 0]
            finding.expect(bool(files), f"the newest {kind} report has no {form}")
        age = timedelta(seconds=max(0.0, now - newest[kind]))
        finding.figures.append(f"{kind} {over[0].period}, {_hours(age)} old, {len(over[0].files)} files")
    finding.seen.append(f"{len(stored)} reports on the report server")
    finding.drill(REPORTS_DRILL)
    return finding


def _by_kind(context: Context, name: str) -> dict[str, float]:
    samples = context.thanos.instant(f"max by (kind) ({name})")
    return {sample.labels.get("kind", "?"): sample.value for sample in samples}


def _hours(age: timedelta) -> str:
    return f"{age.total_seconds() / 3600:.1f} h"


def s2(context: Context) -> Finding:
    """Load time of dashboards, now and in the drills; notifications and throughput as they were measured."""
    finding = Finding()
    accounts = known_credentials()
    user, password = administrator(context.platform)
    credentials = accounts.inside if accounts else (Login.model_validate({"username": user, "password": password}),)
    short_load = run_virtual_users(
        through_grafana(context, credentials, SHORT_USERS),
        query_client(context),
        seconds=SHORT_SECONDS,
        think_s=SHORT_THINK_S,
    )
    load = f"load of this machine {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"
    finding.wrong.extend(f"{problem} ({load})" for problem in short_load.wrong())
    finding.seen.append(load)
    if short_load.loads:
        finding.figures.append(
            f"{SHORT_USERS} virtual users, {len(short_load.loads)} dashboards: {short_load.mean:.2f} s on average, "
            f"P95 {quantile(short_load.times, 0.95):.2f} s"
        )
    finding.drill(*LOADTEST_DRILLS, *LATENCY_DRILLS)
    for name, figure in THROUGHPUT.items():
        finding.drill(name, show=(figure,))
    return finding


CHECKS: dict[str, Check] = {
    "G1": g1,
    "G2": dashboards_check(OVERVIEW),
    "G3": dashboards_check(DETAILS),
    "G4": g4,
    "G5": access.g5,
    "R1": r1,
    "S2": s2,
}
