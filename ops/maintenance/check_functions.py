"""Checks of the maintenance that are more than one query; those of dashboards share the answers of every panel."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from components.backups.config import ARCHIVE_USER, STATE_AGE_S
from components.dashboards.registry import DASHBOARDS
from components.rules import Severity
from components.telemetry.topics import TOPIC_NAMES, TOPICS
from ops.alerts.silences import WATCHDOG, acknowledgements, span
from ops.audit.log import read
from ops.backups import runs
from ops.backups.options import identities, opened
from ops.backups.verify import Proof, prove
from ops.core import health
from ops.core.access import BackupAccess, backup_access
from ops.core.errors import OpsError, one_line
from ops.core.grafana import METRICS, Grafana, address, administrator, panels_of
from ops.core.kube import Pod
from ops.core.platform import PROJECT, run_pulumi
from ops.core.rows import Finding, State, listed
from ops.dashboards.command import rows
from ops.dashboards.panel_queries import latencies, quantile
from ops.evidence import files as evidence
from ops.incidents.record import TimeWindow
from ops.incidents.sources import cluster
from ops.maintenance.certificates import readers
from ops.maintenance.model import Tools
from policy.documents import Image
from services.backup.manifest import Manifest

DAY = timedelta(days=1)
URGENT = (Severity.CRITICAL.value, Severity.HIGH.value)


def healthy(tools: Tools) -> Finding:
    """Every workload and the two things that must answer."""
    finding, lines = Finding(), health.check(tools.context)
    for line in lines:
        finding.expect(line.healthy, f"{line.name}: {line.detail}")
    finding.figures.append(f"{sum(line.healthy for line in lines)} of {len(lines)} lines good")
    return finding


def restarts(tools: Tools) -> Finding:
    """Containers that ended with an error in the last day; Kubernetes remembers the last end of each."""
    finding = Finding()
    events, _ = cluster(tools.context.kube, TimeWindow(start=tools.now - DAY, end=tools.now))
    ended = [event for event in events if event.kind == "restart" and event.warning]
    for event in ended:
        finding.wrong.append(f"{event.subject} at {event.at:%H:%M} UTC: {event.reason}, {event.text}")
    finding.figures.append(f"{len(ended)} in 24 h")
    return finding


def alerts_taken(tools: Tools) -> Finding:
    """Urgent alerts that are active and not acknowledged."""
    finding, alertmanager = Finding(), tools.context.alertmanager()
    alerts = [alert for alert in alertmanager.alerts() if alert.name != WATCHDOG]
    taken = acknowledgements(alertmanager.silences())
    urgent = [alert for alert in alerts if alert.labels.get("severity") in URGENT and alert.state != "suppressed"]
    for alert in urgent:
        if alert.identity not in taken:
            since = span(tools.now - alert.starts)
            finding.wrong.append(f"{alert.identity or alert.name} ({alert.labels['severity']}) for {since}")
    finding.figures.append(f"{len(alerts)} fire, {len(urgent)} of them Critical or High, {len(taken)} acknowledged")
    return finding


def certificates_read(tools: Tools) -> Finding:
    """Pods that read their certificate only when they start, and did so before it was renewed."""
    finding, pod_readers = Finding(), readers(tools.context.kube)
    for reader in pod_readers:
        since = span(tools.now - reader.issued)
        finding.expect(not reader.late, f"{reader.pod} shows a certificate that was renewed {since} ago")
    finding.figures.append(
        f"{sum(not reader.late for reader in pod_readers)} of {len(pod_readers)} pods have read the newest"
    )
    return finding


def silences_young(tools: Tools) -> Finding:
    """Silences in force that are older than is allowed: somebody forgot them."""
    finding = Finding()
    active = [silence for silence in tools.context.alertmanager().silences() if silence.state == "active"]
    for silence in active:
        age = tools.now - silence.starts
        finding.expect(
            age <= tools.silence_age,
            f"{silence.id[:8]} by {silence.author or '?'} for {span(age)}: {', '.join(map(str, silence.matchers))} "
            f"({silence.comment or 'no comment'})",
        )
    finding.figures.append(f"{len(active)} in force")
    return finding


def dashboards_present(tools: Tools) -> Finding:
    """Every dashboard is in Grafana with the panels that it has here, and Grafana reaches the metrics."""
    finding, platform = Finding(), tools.context.platform
    with Grafana(tools.context.ca_file, address(platform), auth=administrator(platform)) as grafana:
        status = grafana.status("GET", f"/api/datasources/uid/{METRICS}/health")
        finding.expect_equal("health of the data source of metrics", status, 200)
        present = 0
        for dashboard in DASHBOARDS:
            try:
                dashboard_model = grafana.get(f"/api/dashboards/uid/{dashboard.uid}")["dashboard"]
            except OpsError as error:
                finding.wrong.append(f"{dashboard.name}: {error}")
                continue
            shown = {str(panel["title"]) for panel in panels_of(dashboard_model)}
            missing = {panel.title for panel in dashboard.panels} - shown
            finding.expect(not missing, f"{dashboard.name} lacks {listed(missing)}")
            present += not missing
    finding.figures.append(f"{present} of {len(DASHBOARDS)} whole")
    return finding


def topics_retention(tools: Tools) -> Finding:
    """Retention of every topic is what was promised (requirement K4)."""
    finding = Finding()
    settings = tools.context.kafka.topic_settings(list(TOPIC_NAMES))
    for topic in TOPICS:
        retention_ms = settings.get(topic.name, {}).get("retention.ms", "no topic")
        finding.expect_equal(f"retention.ms of {topic.name}", retention_ms, str(topic.retention_ms))
        finding.figures.append(f"{topic.name} {topic.retention_days} d")
    return finding


FRESH_LIMIT = "as old as its schedule allows, late start and run included; pulumi-state 8 days; not empty"
ARCHIVE_LATE = timedelta(minutes=30)
_LAST_STORED = "max by (topic) (kafka_archive_last_stored_timestamp_seconds)"
_GAPS = "max by (topic) (backup_archive_missing_records) > 0"
_FAILED = f"sum(increase(kafka_archive_failed_stores_total[{ARCHIVE_LATE.seconds // 60}m]))"


def kinds_with_age(access: BackupAccess) -> dict[str, float]:
    """Kind -> how old its newest run may be, seconds; the state of Pulumi is saved by operators."""
    return {**access.scheduled, runs.PULUMI_STATE: float(STATE_AGE_S)}


def judge(kind: str, manifest: Manifest | None, allowed_s: float, now: datetime, finding: Finding) -> None:
    """Whether the newest run of a kind is young enough and holds something."""
    if manifest is None:
        finding.wrong.append(f"no {kind} backup is stored: `ops backup run {kind}` makes one")
        return
    age = now - manifest.started
    finding.figures.append(f"{kind} {span(age)} ago, {manifest.total_bytes:,} bytes")
    limit = timedelta(seconds=allowed_s)
    finding.expect(age <= limit, f"{kind}: the newest run is {span(age)} old, must be at most {span(limit)}")
    finding.expect(bool(manifest.objects) and manifest.total_bytes > 0, f"{kind}: run {manifest.run} has no objects")
    finding.expect(any(manifest.counts.values()), f"{kind}: run {manifest.run} counts nothing")


def backups_made(tools: Tools) -> Finding:
    """Every kind has a run that is as young as its schedule asks for."""
    finding, access = Finding(), backup_access(tools.context.platform)
    with opened(access) as store:
        for kind, allowed in kinds_with_age(access).items():
            judge(kind, runs.runs(store, kind, last=1).newest, allowed, tools.now, finding)
    return finding


def archive_kept(tools: Tools) -> Finding:
    """The archive's group reads on, and what it reads is stored."""
    finding, context = Finding(), tools.context
    lag = context.kafka.lag(ARCHIVE_USER)
    finding.expect(bool(lag), f"group {ARCHIVE_USER} has committed nothing: does the archive run?")
    stored = {sample.labels.get("topic", "?"): sample.value for sample in context.thanos.instant(_LAST_STORED)}
    for topic, waiting in sorted(lag.items()):
        if not waiting:
            continue
        at = stored.get(topic)
        late = tools.now - datetime.fromtimestamp(at, UTC) if at else None
        finding.expect(
            late is not None and late <= ARCHIVE_LATE,
            f"{topic}: {waiting} records wait, the last one was stored {f'{span(late)} ago' if late else 'never'}",
        )
    failed = context.thanos.number(_FAILED) or 0.0
    finding.expect(failed == 0, f"{failed:.0f} stores failed in the last {span(ARCHIVE_LATE)}")
    for sample in context.thanos.instant(_GAPS):
        topic = sample.labels.get("topic", "?")
        finding.wrong.append(f"{topic}: {sample.value:.0f} offsets between the first and the last are in no segment")
    finding.figures.append(f"{sum(lag.values())} records of {len(lag)} topics wait to be stored")
    return finding


def backups_whole(tools: Tools) -> Finding:
    """The newest run of every kind is what its manifest says; opened where there is an identity."""
    finding, access = Finding(), backup_access(tools.context.platform)
    keys = identities(tools.identity) if tools.identity else None
    with opened(access) as store, tempfile.TemporaryDirectory(prefix="obs-verify-") as folder:
        for kind in kinds_with_age(access):
            held = runs.runs(store, kind, last=1)
            finding.wrong.extend(held.problems)
            if held.newest is None:
                finding.wrong.append(f"no {kind} backup is stored")
                continue
            note(prove(store, held.newest, keys, Path(folder) / kind), finding)
    if keys is None:
        finding.seen.append("encrypted objects compared with their checksums, none opened: give --identity FILE")
    return finding


def note(proof: Proof, finding: Finding) -> None:
    """What a proof says, as part of a finding."""
    how = "opened" if proof.opened else "encrypted"
    finding.figures.append(f"{proof.kind} {proof.run} {how}, {proof.objects} objects")
    finding.wrong.extend(f"{proof.kind} {proof.run}: {problem}" for problem in proof.problems)
    finding.seen.extend(f"{proof.kind}: {remark}" for remark in proof.seen)


def chain_holds(back: timedelta) -> Callable[[Tools], Finding]:
    """A check that no record of the audit log of so long a time is missing or was changed, up to now."""

    def check(tools: Tools) -> Finding:
        log = read(tools.context.platform, tools.now - back)
        finding = Finding(wrong=log.problems)
        if log.records:
            times = sorted(record.recorded_at for record, _ in log.records)
            span_of_times = f"{times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC"
            finding.figures.append(f"{len(times)} records, {span_of_times}")
        return finding

    return check


MEAN_S, P95_S = 3.0, 5.0
"""Requirement S2."""
TOP = 5


def panels_full(tools: Tools) -> Finding:
    """Panels without data, by dashboard."""
    finding, checked = Finding(), tools.dashboards.get()
    results = [result for _, dashboard_results in checked for result in dashboard_results]
    for dashboard, dashboard_results in checked:
        empty = [result.panel.title for result in dashboard_results if result.empty]
        finding.expect(not empty, f"{dashboard.name}: no data in {listed(empty)}")
    finding.figures.append(f"{sum(not result.empty for result in results)} of {len(results)} with data")
    return finding


def slow_queries(tools: Tools) -> Finding:
    """How long the answers took, and which took longest."""
    finding, checked = Finding(), tools.dashboards.get()
    times = latencies([result for _, dashboard_results in checked for result in dashboard_results])
    if not times:
        finding.wrong.append("no query was answered")
        return finding
    mean, slow = sum(times) / len(times), quantile(times, 0.95)
    finding.expect(mean <= MEAN_S, f"average is {mean:.2f} s, must be at most {MEAN_S:g} s")
    finding.expect(slow <= P95_S, f"P95 is {slow:.2f} s, must be at most {P95_S:g} s")
    finding.figures.append(f"{len(times)} queries, average {mean * 1000:.0f} ms, P95 {slow * 1000:.0f} ms")
    answered = [row for row in rows(checked) if row["latency_ms"] is not None]
    for row in sorted(answered, key=lambda row: -float(row["latency_ms"]))[:TOP]:
        finding.seen.append(f"{row['latency_ms']:.0f} ms: {row['dashboard']}, {row['panel']}: {row['query']}")
    return finding


def fresh(name: str, title: str, limit: timedelta) -> Callable[[Tools], Finding]:
    """Whether the newest run of a drill on this platform passed, is not stale, and is at most ``limit`` old."""

    def check(tools: Tools) -> Finding:
        finding, drill = Finding(), tools.drills.judge(name)
        if drill.time is None or not drill.runs:
            finding.figures.append("never")
            problem = drill.summary if drill.time else f"no evidence in {evidence.FOLDER.name}/{name}/"
            finding.wrong.append(f"{title}: never done here ({problem}): run `{drill.command}`")
            return finding
        age = tools.now - drill.time
        finding.figures.append(f"{span(age)} ago")
        if drill.state is State.FAIL:
            finding.wrong.append(f"{title} failed: {drill.summary}: run `{drill.command}`")
        elif drill.state is State.STALE:
            finding.wrong.append(f"{title}: {drill.summary}: run `{drill.command}`")
        else:
            finding.seen.append(drill.summary)
        finding.expect(age <= limit, f"{title}: {span(age)} ago, must be at most {span(limit)}: run `{drill.command}`")
        return finding

    return check


_SHOWN: Final = len("sha256:") + 12
"""Characters of a digest that people are shown."""


@dataclass(frozen=True, kw_only=True)
class _Container:
    """A container of a pod, the image that it is to run, and the digest that its node tells of what it does run."""

    where: str
    reference: Image
    running: str


def versions(pinned: Mapping[str, str]) -> Callable[[Tools], Finding]:
    """Whether pods run what is pinned (short name -> ``repository:tag``), and nothing that is not.

    Tags are compared with what is pinned, digests with those of the stack. A digest decides what a node pulls, so a new
    tag with the old digest runs the old image: that is known as long as Kubernetes keeps a former revision which names
    both otherwise.
    """
    names = {Image.of(image).name: name for name, image in pinned.items()}
    tags = {name: Image.of(image).tag for name, image in pinned.items()}

    def name_of(reference: Image) -> str | None:
        return next((name for end, name in names.items() if f"/{reference.name}".endswith(f"/{end}")), None)

    def shown(reference: Image) -> str:
        return f"{name_of(reference) or reference.name} {reference.tag}".rstrip()

    def run(tools: Tools) -> Finding:
        finding, kube = Finding(), tools.context.kube
        pods = kube.pods()
        images = sorted({image for pod in pods for image in pod.images})
        references = {image: Image.of(image) for image in images}
        unknown = [image for image in images if name_of(references[image]) is None]
        for reference in references.values():
            name = name_of(reference)
            if name is None:
                continue
            if reference.tag != tags[name]:
                finding.wrong.append(f"{name} runs {reference.tag or 'without a tag'}, pinned is {tags[name]}")
            else:
                finding.seen.append(f"{name} {reference.tag}")
        finding.figures.append(f"{len(images) - len(finding.wrong)} of {len(images)} images as pinned")
        finding.expect(not unknown, f"not pinned: {listed(unknown)}")
        finding.expect(bool(images), "no pod runs")
        containers = [container for pod in pods for container in _containers(pod)]
        digests = tools.context.platform.image_digests
        for container in containers:
            _compare(container, digests.get(name_of(container.reference) or "", ""), finding)
        named = {reference for reference in references.values() if reference.digest}
        if named:
            silent = sum(bool(one.reference.digest and not one.running) for one in containers)
            finding.figures.append(f"{len(named)} of them by digest")
            if silent:
                finding.seen.append(f"{silent} containers: their node does not tell the digest of what runs")
            finding.wrong.extend(_shared(named, {Image.of(image) for image in kube.former_images()}, shown))
        return finding

    return run


def _containers(pod: Pod) -> Iterator[_Container]:
    for number, (name, image) in enumerate(zip(pod.containers, pod.images, strict=True)):
        told = pod.image_ids[number] if number < len(pod.image_ids) else ""
        # Of an image that was loaded and not pulled, a node tells the digest of its configuration, without an @.
        running = Image.of(told).digest
        yield _Container(where=f"{pod.name}/{name}", reference=Image.of(image), running=running)


def _compare(container: _Container, wanted: str, finding: Finding) -> None:
    """What a container is to run with what the stack names (empty: nothing), and what runs with both."""
    named = container.reference.digest
    if wanted and named != wanted:
        what = _short(named) if named else "no digest"
        finding.wrong.append(f"{container.where} names {what}, the stack {_short(wanted)}")
    if named and container.running and container.running != named:
        finding.wrong.append(f"{container.where} runs {_short(container.running)}, its pod names {_short(named)}")


def _shared(named: Collection[Image], former: Collection[Image], shown: Callable[[Image], str]) -> Iterator[str]:
    """A line for each image whose digest another tag or repository has or had: one of the two is not what it says."""
    for reference in sorted(named, key=lambda one: (one.name, one.tag, one.digest)):
        others = {shown(other) for other in {*named, *former} if other.digest == reference.digest}
        if others := others - {shown(reference)}:
            yield (
                f"{shown(reference)} has the digest of {listed(sorted(others))}: {_short(reference.digest)}; what runs "
                "is one of them"
            )


def _short(digest: str) -> str:
    return digest[:_SHOWN]


LONGEST: Final = timedelta(days=365)
BOTH: Final = timedelta(days=30)
"""So long two passwords of a user may be taken."""
_TYPE: Final = "random:index/randomPassword:RandomPassword"
_KEPT: Final = re.compile(r"gateway-hash-key|.*-keystore")
"""Names of those that open nothing by themselves, or cannot be changed without loss."""
_GENERATIONS: Final = re.compile(r"(gateway-.+?)(?:-g\d+)?")
"""Of passwords of which two may be taken at a time: name without the generation."""
_LIMIT_S: Final = 60.0
_MOST_NAMED: Final = 5

Created = Callable[[], Mapping[str, datetime]]


def created() -> dict[str, datetime]:
    """Name -> when it was made, of every password in the selected stack's state; no secret is decrypted.

    Raises:
        OpsError: No ``pulumi``, no stack, no answer in time, or no state.
    """
    done = run_pulumi(PROJECT, "stack", "export", "--non-interactive", limit_s=_LIMIT_S)
    if done.returncode:
        raise OpsError(f"cannot export the stack's state: {one_line(done.stderr.decode(errors='replace'))}")
    try:
        return {
            entry["urn"].rpartition("::")[2]: datetime.fromisoformat(entry["created"])
            for entry in json.loads(done.stdout)["deployment"]["resources"]
            if entry["type"] == _TYPE
        }
    except (ValueError, KeyError, TypeError):
        raise OpsError("`pulumi stack export` did not print a state that says when passwords were made") from None


def _both(ages: Mapping[str, timedelta]) -> dict[str, timedelta]:
    """User of whom two passwords are taken -> age of the newer one."""
    users: dict[str, list[timedelta]] = {}
    for name, age in ages.items():
        if match := _GENERATIONS.fullmatch(name):
            users.setdefault(match[1], []).append(age)
    return {user: min(both) for user, both in users.items() if len(both) > 1}


def young(read: Created = created) -> Callable[[Tools], Finding]:
    """A check that none is older than `LONGEST`, but for those that are to stay."""

    def check(tools: Tools) -> Finding:
        finding = Finding()
        known = {name: tools.now - moment for name, moment in read().items() if not _KEPT.fullmatch(name)}
        old = sorted((name for name, age in known.items() if age > LONGEST), key=lambda name: -known[name])
        finding.wrong += [f"{name} is {known[name].days} days old" for name in old[:_MOST_NAMED]]
        if len(old) > _MOST_NAMED:
            finding.wrong.append(f"{len(old) - _MOST_NAMED} more")
        finding.wrong += [
            f"two passwords of {user} have been taken for {age.days} days: `ops gateway rotate-passwords --finish`"
            for user, age in _both(known).items()
            if age > BOTH
        ]
        finding.expect(bool(known), "the state has no password")
        oldest = max((age.days for age in known.values()), default=0)
        finding.figures.append(f"{len(known)} passwords, the oldest {oldest} days")
        return finding

    return check
