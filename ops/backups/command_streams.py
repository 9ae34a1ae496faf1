"""Restores of what is stored all the time: the archive of Kafka by topic, and blocks of metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.backups import runs
from ops.backups import topic as topics
from ops.backups.options import AccessFile, AsJson, IdentityFile, access, connected, tell, working
from ops.backups.storage import identities, opened
from ops.core.errors import OpsError
from ops.incidents.time_window import moment
from services.backup import restore_metrics


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
            topics.make(context, store, name, to, topic_id)
        done = topics.restore(context, store, keys, name, into=to, tell=lambda text: tell(progress, text), **more)
        if compare:
            tell(progress, f"comparing {done.topic} with the archive")
            comparison = topics.compare(context, store, keys, name, live=done.topic, **more)
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
    """Download the blocks of one Prometheus into a folder, which another one opens as its own data."""
    reached = access(access_file)
    with working("metrics: looking for blocks") as progress, opened(reached, reached.metrics_prefix) as store:
        shipped = runs.shipped(store)
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
    }
    _show(report, as_json)


def _show(report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dict(report), indent=2, ensure_ascii=False))
        return
    for name, value in report.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")
