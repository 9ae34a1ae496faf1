"""M3: opens, fills, reports and closes an incident about an alert that is raised for it and notifies nobody.

The alert is a synthetic instance of a rule of priority Low, whose receiver is the daily report alone and waits for a
minute; a silence that every member of Alertmanager knows comes before it. It ends with the check, and by itself when
the check is killed.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from components.alertmanager.config import DAILY_REPORT
from components.rules import ID_LABEL, Severity, alert_id
from components.telemetry.thresholds import THRESHOLDS
from ops.checks.alerting import WORKLOAD
from ops.core.alertmanager import Matcher
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.core.rows import Check, Finding, listed
from ops.incidents.alerts import firing_alert, new
from ops.incidents.collect import Clients, collect, missing
from ops.incidents.i18n import Language, Texts
from ops.incidents.record import Incident, Note, Phase, Store
from ops.incidents.times import TimeFormat, window

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
    left = [alert.identity for alert in context.alertmanager(members[0]).alerts() if alert.identity == identity]
    finding.expect(not left, f"{identity} still fires")
    finding.figures.append(f"opened, filled, reported, closed in {time.monotonic() - began:.0f} s")
    return finding


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
        ends = datetime.now(UTC)
        try:
            for one in everywhere:
                one.post(labels, annotations, starts, ends)
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


CHECKS: dict[str, Check] = {"M3": m3}
