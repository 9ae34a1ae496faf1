"""``ops backup restore``: a command for each kind. Nothing that is there is changed unless it is asked for.

A restore downloads, checks and decrypts on this machine, into a folder that nobody else can read and that is gone at
the end; then it fills the target, counts there, and compares with what the manifest counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ops.backups import destinations, runs
from ops.backups import pulumi_state as states
from ops.backups.options import (
    AccessFile,
    AsJson,
    IdentityFile,
    RunName,
    Server,
    access,
    connected,
    identities,
    opened,
    read_dsn,
    scratch,
    server,
    tell,
    working,
)
from ops.core import platform as platform_module
from ops.core.access import BackupAccess
from ops.core.errors import OpsError
from ops.incidents.record import moment
from services.backup import database as restore_database
from services.backup import grafana as restore_grafana
from services.backup import kafka_metadata as restore_kafka_metadata
from services.backup import restore, restore_metrics
from services.backup import search as restore_search
from services.backup.kafka_metadata import connect
from services.backup.manifest import Manifest
from services.backup.restore import Outcome


def topic(
    name: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic that was archived.")],
    to: Annotated[str | None, typer.Option("--to", metavar="TOPIC", help="Where to; else the same name.")] = None,
    make: Annotated[bool, typer.Option("--make", help="Make the topic --to, which keeps records for ever.")] = False,
    since: Annotated[str | None, typer.Option(help="Only records from then on: 2026-11-24T22:10Z, or 6h ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Only records before then.")] = None,
    topic_id: Annotated[str | None, typer.Option("--topic-id", help="Which one, if it was made again.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Read it back and compare record by record.")] = False,
    identity: IdentityFile = None,
    as_json: AsJson = False,
) -> None:
    """Send the archived records of a topic into an empty one: same partition, key, value, headers and time."""
    keys, now = identities(identity), datetime.now(UTC)
    more: dict[str, Any] = {
        "since": moment(since, "--since", now) if since else None,
        "until": moment(until, "--until", now) if until else None,
        "topic_id": topic_id,
    }
    if make and not to:
        raise OpsError("--make makes the topic that --to names: name one, for example --to restored-" + name)
    with (
        connected() as (context, reached),
        working(f"{name}: reading the archive") as progress,
        opened(reached) as store,
    ):
        if make and to:
            destinations.make(context, store, name, to, topic_id)
        steps = partial(tell, progress)
        done = destinations.send_archived(context, store, keys, name, into=to, tell=steps, **more)
        if compare:
            tell(progress, f"comparing {done.topic} with the archive")
            comparison = destinations.compare(context, store, keys, name, live=done.topic, **more)
    report: dict[str, Any] = {
        "topic": done.topic,
        "topic_id": done.topic_id,
        "records": sum(done.records.values()),
        "partitions": {str(partition): number for partition, number in done.records.items()},
        "segments": done.objects,
        "doubled": done.doubled,
        "missing": [f"{hole.first} to {hole.last} of partition {hole.partition}" for hole in done.holes],
    }
    if compare:
        report |= {"compared_equal": comparison.equal.total(), "same": comparison.same, "differences": comparison.told}
    _show(report, as_json)
    raise typer.Exit(int(compare and not comparison.same))


def metrics(
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder: the data of a Prometheus.")],
    replica: Annotated[str, typer.Option(help="Whose blocks: its label prometheus_replica.")] = "primary",
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Download the blocks of one Prometheus into a folder, which another one opens as its own data.

    Damaged blocks, of whichever Prometheus, are named and left out; exit code 1 then.
    """
    reached = access(access_file)
    with working("metrics: looking for blocks") as progress, opened(reached, reached.metrics_prefix) as store:
        shipped = runs.shipped(store, lambda _: None)
        matching_replicas = [candidate for candidate in shipped if candidate.name == replica]
        if len(matching_replicas) != 1:
            there = ", ".join(sorted(candidate.name for candidate in shipped)) or "nobody"
            raise OpsError(f"--replica {replica}: blocks are stored of {there}")

        def told(done: int, total: int) -> None:
            tell(progress, f"metrics of {replica}: {done:,} of {total:,} bytes")

        got = restore_metrics.restore(store, matching_replicas[0].labels, to, report=told)
    report = {
        "folder": str(to),
        "blocks": got.blocks,
        "samples": got.samples,
        "bytes": got.bytes,
        "start": datetime.fromtimestamp(got.start_ms / 1000, UTC).isoformat(),
        "end": datetime.fromtimestamp(got.end_ms / 1000, UTC).isoformat(),
        "in_order_until": None
        if got.in_order_until_ms is None
        else datetime.fromtimestamp(got.in_order_until_ms / 1000, UTC).isoformat(),
        "damaged": list(got.damaged),
    }
    _show(report, as_json)
    raise typer.Exit(int(bool(got.damaged)))


def _show(report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dict(report), indent=2, ensure_ascii=False))
        return
    for name, value in report.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")


restore_app = typer.Typer(
    help="Restore one kind; what is there is changed only where you say so.", no_args_is_help=True
)
restore_app.command("topic")(topic)
restore_app.command("metrics")(metrics)
Origin = Annotated[
    str | None,
    typer.Option("--from", metavar="PLATFORM/REGION", help="Whose backup it is; else that of what is restored into."),
]
Replace = Annotated[bool, typer.Option("--replace", help="What is in the target may be changed and removed.")]
Url = Annotated[str | None, typer.Option("--url", help="Another server, https://host:port; else the platform's.")]
Ca = Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Authority of the other server's certificate.")]
LoginFile = Annotated[
    Path | None, typer.Option("--login", metavar="FILE", help='Login there: {"username": "...", "password": "..."}.')
]


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    """A run on this machine: the folder with what was decrypted, its manifest, and something to tell progress to."""

    folder: Path
    manifest: Manifest
    tell: Callable[[str], None]


@contextmanager
def _fetched(
    reached: BackupAccess,
    kind: str,
    run: str | None,
    identity: Path | None,
    *,
    origin: str | None = None,
    into_platform: bool = False,
) -> Iterator[_Fetched]:
    keys = identities(identity)
    with scratch() as folder, working(f"{kind}: downloading") as progress, opened(reached) as store:
        manifest = runs.find(store, kind, run, lambda line: typer.echo(f"passed over: {line}", err=True))
        _check_origin(manifest, origin, into_platform=into_platform)
        tell(progress, f"{kind} {manifest.run}: downloading, checking, decrypting")
        restore.fetch(store, kind, manifest.run, keys, folder)
        yield _Fetched(folder=folder, manifest=manifest, tell=lambda text: tell(progress, text))


def _check_origin(manifest: Manifest, named: str | None, *, into_platform: bool) -> None:
    """Refuse a run of another platform or region than the one that is named, or that is restored into.

    Raises:
        OpsError: It is of another one.
    """
    origin = f"{manifest.platform}/{manifest.region}"
    if named is not None:
        if named != origin:
            raise OpsError(f"--from is {named}, and {manifest.kind} {manifest.run} is of {origin}")
    elif into_platform:
        platform = platform_module.load()
        own = f"{platform.platform}/{platform.region}"
        if own != origin:
            raise OpsError(
                f"{manifest.kind} {manifest.run} is of {origin}, and this is {own}: --from {origin} restores it here"
            )


@restore_app.command("database")
def database(
    dsn_file: Annotated[
        Path | None, typer.Option("--dsn-file", metavar="FILE", help="Holds the connection to the database to fill.")
    ] = None,
    fresh: Annotated[
        str | None, typer.Option("--fresh", metavar="NAME", help="Make this database in the platform's PostgreSQL.")
    ] = None,
    which: Annotated[str | None, typer.Option("--database", help="Which of the backup's databases.")] = None,
    run: RunName = None,
    identity: IdentityFile = None,
    origin: Origin = None,
    replace: Replace = False,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Restore a database: into one that --dsn-file leads to, or into a new one beside the platform's own."""
    if (dsn_file is None) == (fresh is None):
        raise OpsError("say where to: --fresh NAME for a new database of the platform, or --dsn-file FILE")
    if fresh is not None and replace:
        raise OpsError("--replace has nothing to replace in a new database: leave it out")
    dsn = read_dsn(dsn_file) if dsn_file else ""
    name = destinations.legal_database(fresh) if fresh else ""
    with _fetched(
        access(access_file), "database", run, identity, origin=origin, into_platform=fresh is not None
    ) as got:
        chosen = _one_database(got.manifest, which)
        if name:
            with connected() as (context, _):
                done = destinations.fresh_database(context.kube, got.folder, chosen, name, got.tell)
        else:
            got.tell(f"restoring {chosen}")
            done = restore_database.restore(got.folder, dsn, database=chosen, replace=replace)
    wanted = restore_database.counts_of(got.manifest, chosen)
    _finish(got.manifest, wanted, done, as_json, f"database {name or chosen}")


def _one_database(manifest: Manifest, which: str | None) -> str:
    names = restore_database.databases(manifest)
    if which is None and len(names) == 1:
        return names[0]
    if which not in names:
        raise OpsError(f"--database is {which or 'missing'}: the backup {manifest.run} has {', '.join(names)}")
    return str(which)


@restore_app.command("grafana")
def grafana(
    run: RunName = None,
    identity: IdentityFile = None,
    origin: Origin = None,
    compare: Annotated[bool, typer.Option("--compare", help="Change nothing, tell what differs.")] = False,
    replace: Replace = False,
    url: Url = None,
    ca: Ca = None,
    login: LoginFile = None,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Restore folders, dashboards, teams and permissions; --compare exits with 1 where something differs."""
    other = server(url, ca, login)
    with (
        _fetched(access(access_file), "grafana", run, identity, origin=origin, into_platform=other is None) as got,
        _grafana(other) as target,
    ):
        got.tell(f"{'comparing with' if compare else 'restoring into'} {target.url}")
        if compare:
            differences = destinations.differences(got.folder, target)
        else:
            done = restore_grafana.restore(
                got.folder, target.url, target.login, ca_file=target.ca_file, replace=replace
            )
    if compare:
        _told(differences, as_json, f"Grafana is as in the backup {got.manifest.run}")
    _finish(got.manifest, got.manifest.counts, done, as_json, "Grafana")


@contextmanager
def _grafana(other: Server | None) -> Iterator[Server]:
    if other is not None:
        yield other
        return
    with connected() as (context, _):
        yield destinations.own(context)


@restore_app.command("kafka-metadata")
def kafka_metadata(
    run: RunName = None,
    identity: IdentityFile = None,
    origin: Origin = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make what is missing; else it is only told.")] = False,
    replication: Annotated[
        int | None, typer.Option(min=1, max=9, help="Copies of each record in new topics; else as in the backup.")
    ] = None,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what the brokers lack of topics, settings, users and permissions; with --apply, make it.

    Without --apply, exit code 1 where something is missing. Nothing is removed, and users come from the deployment.
    """
    with (
        _fetched(access(access_file), "kafka-metadata", run, identity, origin=origin, into_platform=True) as got,
        connected() as (context, _),
    ):
        got.tell("comparing with the brokers")
        platform = context.platform
        client = connect(platform.kafka_bootstrap, platform.ca_certificate, platform.kafka_admin.pair)
        plan = restore_kafka_metadata.plan(got.folder, client)
        if apply:
            got.tell("making what is missing")
            done = restore_kafka_metadata.restore(got.folder, client, replace=True, replication=replication)
    if not apply:
        for note in plan.notes:
            typer.echo(f"stays: {note}", err=True)
        missing = [line for line in plan.lines() if line not in plan.notes]
        _told(missing, as_json, f"Kafka has everything of the backup {got.manifest.run}")
    # Offsets that groups committed go on all the time; they are for reading.
    wanted = {name: count for name, count in got.manifest.counts.items() if name not in _MOVING}
    counted = {name: count for name, count in done.counts.items() if name not in _MOVING}
    _finish(got.manifest, wanted, Outcome(counts=counted, notes=done.notes), as_json, "Kafka's metadata")


_MOVING = ("consumer groups", "committed offsets")


@restore_app.command("search")
def search(
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT-", help="New names begin with it; else the same names.")
    ] = None,
    run: RunName = None,
    identity: IdentityFile = None,
    origin: Origin = None,
    replace: Replace = False,
    url: Url = None,
    ca: Ca = None,
    login: LoginFile = None,
    access_file: AccessFile = None,
    as_json: AsJson = False,
) -> None:
    """Restore indices with definition, documents and aliases; with --prefix beside those that are there."""
    other, start = server(url, ca, login), destinations.legal(prefix) if prefix else ""
    with _fetched(access(access_file), "search", run, identity, origin=origin, into_platform=other is None) as got:
        manifest = destinations.renamed(got.folder, start) if start else got.manifest
        got.tell("restoring indices")
        if other is not None:
            done = restore_search.restore(got.folder, other.url, other.login, ca_file=other.ca_file, replace=replace)
        else:
            with connected() as (context, _), destinations.search_administrator(context) as own:
                done = restore_search.restore(
                    got.folder, own.url, own.login, ca_file=own.ca_file, certificate=own.certificate, replace=replace
                )
    _finish(manifest, manifest.counts, done, as_json, "search cluster")


@restore_app.command("pulumi-state")
def pulumi_state(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file.")],
    run: RunName = None,
    identity: IdentityFile = None,
    access_file: AccessFile = None,
) -> None:
    """Write a state to a file, for `pulumi stack import`; its secrets stay encrypted as Pulumi had them."""
    with _fetched(access(access_file), runs.PULUMI_STATE, run, identity) as got:
        problems = states.check(got.folder, got.manifest)
        if problems:
            raise OpsError(f"{runs.PULUMI_STATE} {got.manifest.run}: {'; '.join(problems)}")
        states.to_file(got.folder, to)
    counts = ", ".join(f"{number} {name}" for name, number in got.manifest.counts.items())
    typer.echo(f"{to}: the state of {got.manifest.started:%Y-%m-%d %H:%M} UTC, {counts}")
    typer.echo(f"next: `pulumi stack init NAME` where there is none, then `pulumi stack import --file {to}`", err=True)


def _finish(manifest: Manifest, wanted: Mapping[str, int], done: Outcome, as_json: bool, what: str) -> NoReturn:
    """Say what was restored; exit code 1 where the target does not have what the manifest counts."""
    different = restore.differences(manifest.model_copy(update={"counts": dict(wanted)}), done.counts)
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        report = {"run": manifest.run, "counts": dict(done.counts), "differences": different, "notes": list(done.notes)}
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        for line in different:
            typer.echo(f"differs: {line}")
        state = f"{len(different)} counts differ" if different else f"as in the backup, {len(wanted)} counts compared"
        typer.echo(f"{what}: restored from {manifest.kind} {manifest.run}, {state}")
    raise typer.Exit(int(bool(different)))


def _told(lines: Sequence[str], as_json: bool, good: str) -> NoReturn:
    """Say what differs and end: exit code 1 where something does."""
    if as_json:
        typer.echo(json.dumps({"differences": list(lines)}, indent=2, ensure_ascii=False))
    else:
        for line in lines or [good]:
            typer.echo(line)
    raise typer.Exit(int(bool(lines)))
