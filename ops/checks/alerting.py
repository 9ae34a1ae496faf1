"""P3, A1 to A3, D4, M4: from the reviewed thresholds to a notification and an event in Kafka; M3: opens, fills, reports
and closes an incident about an alert that is raised for it and notifies nobody.

That alert is a synthetic instance of a rule of priority Low, whose receiver is the daily report alone and waits for a
minute; a silence that every member of Alertmanager knows comes before it. It ends with the check, and by itself when
the check is killed.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from components.alertmanager.config import DAILY_REPORT
from components.rules import ID_LABEL, Severity, alert_id
from components.shards import ruler_name
from components.telemetry.rules import RULES
from components.telemetry.thresholds import THRESHOLDS
from ops.alerts import events as alert_events
from ops.alerts.silences import WATCHDOG
from ops.checks.grace_period import grace_period_end
from ops.core.alertmanager import Matcher
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.platform import Platform
from ops.core.rows import Check, Finding, lasting, listed, not_set_up
from ops.incidents.alerts import firing_alert, new
from ops.incidents.collect import Clients, collect, missing
from ops.incidents.document import Language, Texts
from ops.incidents.record import Incident, Note, Phase, Store, TimeFormat, window

WORKLOAD = "alertmanager"
CLOSER = "incident-closer"
MEMBERS = 2
RULER_PORT = 10902
EVENTS_WINDOW = timedelta(minutes=10)
HEARTBEAT_WINDOW = "5m"
CHANGE_DRILL = "change-reviewed"
LATENCY_DRILLS = ("alert-latency-both", "alert-latency-one-killed", "alert-latency-partitioned")


def live_rules(context: Context, replica: str) -> dict[str, Mapping[str, Any]]:
    """Alerting rules that a replica evaluates, by name: the first shard, and the ruler where there are shards.

    Raises:
        OpsError: One of them does not answer.
    """
    platform = context.platform
    evaluators = [(f"prometheus-{replica}", context.prometheus_url(replica), platform.prometheus_credentials[replica])]
    if platform.prometheus_shards > 1:
        ruler = ruler_name(replica)
        url = context.tunnels.url(context.kube.ready_pod(ruler).name, RULER_PORT)
        evaluators.append((ruler, url, platform.scrape_credentials[ruler]))
    rules: dict[str, Mapping[str, Any]] = {}
    for name, base, login in evaluators:
        with context.web.call("GET", f"{base}/api/v1/rules", auth=login.pair, params={"type": "alert"}) as response:
            if response.status_code != 200:
                raise OpsError(f"{name} answered {response.status_code} to the query for its rules")
            groups = response.json()["data"]["groups"]
        rules |= {rule["name"]: rule for group in groups for rule in group["rules"]}
    return rules


def p3(context: Context) -> Finding:
    """Both Prometheus evaluate an alert of every threshold, each with a priority and a runbook, without errors."""
    finding = Finding()
    for replica in context.platform.prometheus_replicas:
        rules = live_rules(context, replica)
        missing = {threshold.alert for threshold in THRESHOLDS} - set(rules)
        finding.expect(not missing, f"prometheus-{replica} has no rule {listed(missing)}")
        broken = [name for name, rule in rules.items() if rule["health"] == "err"]
        finding.expect(not broken, f"rules of prometheus-{replica} fail: {listed(broken)}")
        bare = [
            name
            for name, rule in rules.items()
            if not rule["labels"].get("severity") or not rule["annotations"].get("runbook_url")
        ]
        finding.expect(not bare, f"without priority or runbook: {listed(bare)}")
        finding.seen.append(f"prometheus-{replica} evaluates {len(rules)} alerting rules")
    finding.figures.append(f"{len(THRESHOLDS)} thresholds")
    finding.drill("alert-thresholds")
    return finding


def a1(context: Context) -> Finding:
    """Two members that see each other, behind TLS and a login; a notification arrives also with one of them."""
    finding = Finding()
    members = [pod.name for pod in context.kube.pods(WORKLOAD) if pod.ready]
    finding.expect_equal("number of ready Alertmanagers", len(members), MEMBERS)
    for member in members:
        cluster = context.alertmanager(member).cluster()
        finding.expect_equal(f"members that {member} sees", cluster.members, MEMBERS)
        finding.expect_equal(f"state of {member}", cluster.status, "ready")
    anonymous = context.web.status(f"{context.platform.alertmanager_url}/api/v2/status")
    finding.expect_equal("response without a login", anonymous, 401)
    finding.seen.append(f"{listed(members)} in one cluster, anonymous requests answered {anonymous}")
    finding.drill(*LATENCY_DRILLS)
    return finding


def a2(context: Context) -> Finding:
    """What fires now reaches the receivers of its priority; escalation as the drill saw it."""
    finding = Finding()
    failed = context.thanos.number("sum(increase(alertmanager_notifications_failed_total[10m]))") or 0.0
    sent = context.thanos.number("sum(alertmanager_notifications_total)") or 0.0
    firing = [alert for alert in context.alertmanager().alerts() if alert.name != WATCHDOG]
    astray = [alert.identity or alert.name for alert in firing if not alert.receivers]
    finding.expect(not astray, f"no receiver for {listed(astray)}")
    finding.expect_by(grace_period_end(context), sent > 0, "first notification", "no notification has been sent")
    closers = context.thanos.instant(f'incident_closer_failing{{job="{CLOSER}"}}')
    failing = [closer.labels["instance"] for closer in closers if closer.value]
    finding.expect_equal("number of incident closers that report", len(closers), MEMBERS * pages(context.platform))
    finding.expect(not failing, f"incident closers fail at {listed(failing)}")
    finding.figures.append(f"{sent:.0f} notifications, {failed:.0f} attempts failed in 10m")
    finding.seen.append(f"{len(firing)} alerts firing, {len(closers)} incident closers running")
    for line in context.platform.left_out("alerting.contacts"):
        finding.set_up(line, "pulumi up --policy-pack policy")
    finding.drill("alert-escalation", "alert-thresholds", "alert-incidents")
    return finding


def pages(platform: Platform) -> bool:
    """Whether anybody is paged."""
    channels = platform.notify_channels
    return channels is None or any(contact.get("phone") for contact in channels.contacts.values())


def a3(context: Context) -> Finding:
    """Both topics get events; every record can be read by its schema."""
    finding = Finding()
    start = datetime.now(UTC) - EVENTS_WINDOW
    for stage in alert_events.Stage:
        history = alert_events.read(context.platform, stage, start)
        topic = alert_events.TOPICS[stage]
        problem = f"no event in {topic} of the last 10 minutes"
        finding.expect_by(grace_period_end(context), bool(history.events), f"first event in {topic}", problem)
        finding.expect_equal(f"unreadable records in {alert_events.TOPICS[stage]}", history.unreadable, 0)
        finding.expect(not history.silent, f"partitions {listed(history.silent)} of {topic} were not read to their end")
        keys = {event.alert_id for event in history.events}
        finding.figures.append(
            f"{alert_events.TOPICS[stage]}: {len(history.events)} events of {len(keys)} alerts in 10m"
        )
    return finding


def d4(context: Context) -> Finding:
    """The watchdog fires and its heartbeat leaves the platform; the drill stopped it and the switch noticed."""
    if lines := context.platform.left_out("alerting.heartbeat"):
        return not_set_up(lines)
    finding = Finding()
    alive = any(alert.name == WATCHDOG for alert in context.alertmanager().alerts())
    finding.expect(alive, f"{WATCHDOG} does not reach Alertmanager")
    beats = context.thanos.number(
        f'sum(increase(alertmanager_notifications_total{{receiver_name="heartbeat"}}[{HEARTBEAT_WINDOW}]))'
    )
    finding.expect(bool(beats), f"no heartbeat in the last {HEARTBEAT_WINDOW}")
    finding.figures.append(f"{beats or 0:.0f} heartbeats in {HEARTBEAT_WINDOW}")
    finding.drill("dead-mans-switch")
    return finding


def m4(context: Context) -> Finding:
    """Both Prometheus evaluate what this checkout says; the drill changed a threshold, reviewed and previewed it."""
    finding = Finding()
    wanted = {alert.name: alert for group in RULES for alert in group.alerts}
    for replica in context.platform.prometheus_replicas:
        rules = live_rules(context, replica)
        differ = [
            name
            for name, alert in wanted.items()
            if name in rules and rules[name]["labels"].get("severity") != alert.severity.value
        ]
        finding.expect(not differ, f"prometheus-{replica} has another priority for {listed(differ)}")
        finding.expect(set(wanted) <= set(rules), f"prometheus-{replica} lacks {listed(set(wanted) - set(rules))}")
    finding.figures.append(f"{len(wanted)} alerts generated from components/telemetry/thresholds.yaml")
    finding.drill(CHANGE_DRILL)
    return finding


THRESHOLD = next(threshold for threshold in THRESHOLDS if threshold.priority is Severity.LOW)
NAME = THRESHOLD.alert
AUTHOR = "ops verify"
NOTES: Mapping[Phase, str] = {
    Phase.RESPOND: "The synthetic alert fires.",
    Phase.DIAGNOSE: "It was raised by ops verify.",
    Phase.RECOVER: "It resolves with the check.",
    Phase.FOLLOW_UP: "No follow-up is required.",
}
CAUSE = NOTES[Phase.DIAGNOSE]
OWNER = "verify-owner"
COLLECT_S = 45.0
_LASTS, _SILENT = timedelta(minutes=3), timedelta(minutes=10)
_KNOWN_S = 20.0


def m3(context: Context) -> Finding:
    """A whole incident, from a firing alert to a closed record and its report, in a folder that goes afterwards."""
    finding, began = Finding(), time.monotonic()
    members = [pod.name for pod in context.kube.pods(WORKLOAD) if pod.ready]
    if not members:
        raise OpsError("no Alertmanager is ready to receive an alert")
    with tempfile.TemporaryDirectory(prefix="obs-m3-") as folder, raised(context, members) as identity:
        firing = [alert for alert in context.alertmanager(members[0]).alerts() if alert.identity == identity]
        finding.expect_equal(
            "receivers of the alert", listed({name for alert in firing for name in alert.receivers}), DAILY_REPORT
        )
        finding.expect_equal("states of the alert", listed({alert.state for alert in firing}), "suppressed")
        incident = recorded(Store(Path(folder)), context, members[0], identity)
        reported(context, incident, Path(folder) / "report", finding)
    for member in lasting(lambda: firing_at(context, members, identity), _KNOWN_S):
        finding.wrong.append(f"{identity} still fires at {member}")
    finding.figures.append(f"opened, filled, reported, closed in {time.monotonic() - began:.0f} s")
    return finding


def firing_at(context: Context, members: Sequence[str], identity: str) -> dict[str, str]:
    """Members at which an alert fires -> its state there."""
    return {
        member: alert.state
        for member in members
        for alert in context.alertmanager(member).alerts()
        if alert.identity == identity
    }


@contextmanager
def raised(context: Context, members: list[str]) -> Iterator[str]:
    """An alert that fires at every member and is silent at each; its identity."""
    run = secrets.token_hex(4)
    identity = alert_id(NAME, {"run": run})
    labels = {
        "alertname": NAME,
        "severity": Severity.LOW.value,
        "layer": THRESHOLD.layer.name,
        "run": run,
        ID_LABEL: identity,
    }
    annotations = {"summary": f"Synthetic alert of {AUTHOR}", "description": "No action is required."}
    everywhere = [context.alertmanager(member) for member in members]
    starts = datetime.now(UTC)
    silence = everywhere[0].silence(
        (Matcher(name="alertname", value=NAME), Matcher(name="run", value=run)),
        starts + _SILENT,
        AUTHOR,
        "checks requirement M3",
    )
    try:
        wait_until(
            lambda: all(any(known.id == silence for known in one.silences()) for one in everywhere),
            _KNOWN_S,
            "the silence of the synthetic alert at every Alertmanager",
            0.5,
        )
        for one in everywhere:
            one.post(labels, annotations, starts, starts + _LASTS)
        wait_until(
            lambda: any(
                alert.identity == identity and alert.state != "unprocessed" for alert in everywhere[0].alerts()
            ),
            _KNOWN_S,
            "the synthetic alert at Alertmanager",
            0.5,
        )
        yield identity
    finally:
        try:
            for one in everywhere:
                # An end that is still to come by the clock there would leave the later one in force.
                one.post(labels, annotations, starts, starts)
        finally:
            everywhere[0].end(silence)


def recorded(store: Store, context: Context, member: str, identity: str) -> Incident:
    """Open an incident about the alert, write a note of every phase, and close it."""
    now = datetime.now(UTC)
    alert = firing_alert(context.alertmanager(member).alerts(), identity)
    opened = store.create(lambda identifier: new(identifier, alert, now, AUTHOR, None, None), now)
    for phase, text in NOTES.items():
        at = datetime.now(UTC)
        note = Note(
            at=at,
            written=at,
            author=AUTHOR,
            phase=phase,
            text=text,
            first_response=phase is Phase.RESPOND,
            owner=OWNER if phase is Phase.FOLLOW_UP else "",
        )
        store.change(opened.id, partial(_noted, note))
    closed = {"closed": datetime.now(UTC), "closed_by": AUTHOR, "cause": CAUSE}
    store.change(opened.id, lambda incident: incident.model_copy(update=closed))
    return store.read(opened.id)


def _noted(note: Note, incident: Incident) -> Incident:
    return incident.model_copy(update={"notes": (*incident.notes, note)})


def reported(context: Context, incident: Incident, folder: Path, finding: Finding) -> None:
    """Write the report and look for everything that has to be in it, and for nothing that must not be."""
    # Here, since drawing is slow to load and no other check needs it.
    from ops.incidents.document import write
    from ops.incidents.report import Parts, document

    now, clients = datetime.now(UTC), Clients(load=lambda: context.platform)
    try:
        seen = collect(clients, incident, window(incident, now), clearance="internal", limit_s=COLLECT_S)
        known = clients.secrets()
    finally:
        clients.close()
    for name, source in missing(seen):
        finding.wrong.append(f"source {name} of the report: {source.problem}")
    files = write(
        document(Parts(incident, seen, now, Texts(Language.ENGLISH), TimeFormat(UTC))), incident.id, folder, known
    )
    pages = [file for file in files if file.suffix in (".md", ".html")]
    finding.expect_equal("report", listed(file.suffix for file in pages), ".html, .md")
    wanted = (incident.id, incident.alert.alert_id, *NOTES.values(), AUTHOR, OWNER)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        lacking = [part for part in wanted if part not in text]
        finding.expect(not lacking, f"the report's {page.suffix} lacks {listed(lacking)}")
        finding.expect(not any(secret in text for secret in known), f"the report's {page.suffix} contains a password")
    size = sum(file.stat().st_size for file in files)
    answered = len(seen.sources) - len(missing(seen))
    finding.figures.append(f"{answered} of {len(seen.sources)} sources")
    finding.seen.append(f"{incident.id} about {incident.alert.alert_id}: {len(files)} files, {size:,} bytes")


CHECKS: dict[str, Check] = {"P3": p3, "A1": a1, "A2": a2, "A3": a3, "D4": d4, "M3": m3, "M4": m4}
