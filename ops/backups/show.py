"""How backups are shown: as tables for people, as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.alerts.silences import span
from ops.backups.runs import Archived, Runs, Shipped
from ops.backups.verify import Proof
from services.backup.manifest import Manifest

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def listing(runs: Sequence[Runs], topics: Sequence[Archived], metrics: Sequence[Shipped]) -> dict[str, Any]:
    """Everything that is stored, for machines."""
    return {
        "runs": [_run(manifest) for kind_runs in runs for manifest in kind_runs.whole],
        "kinds": [
            {
                "kind": kind_runs.kind,
                "runs": kind_runs.total,
                "bytes": kind_runs.bytes,
                "not_whole": list(kind_runs.torn),
            }
            for kind_runs in runs
        ],
        "archive": [
            {
                "topic": topic.topic,
                "partitions": topic.partitions,
                "segments": len(topic.segments),
                "bytes": topic.bytes,
                "offsets": topic.offsets,
                "missing": topic.missing,
                "newest_stored_at": topic.newest.isoformat(),
                "topic_ids": list(topic.lives),
            }
            for topic in topics
        ],
        "metrics": [
            {
                "labels": dict(metric.labels),
                "blocks": metric.blocks,
                "bytes": metric.bytes,
                "samples": metric.samples,
                "start": metric.start.isoformat(),
                "end": metric.end.isoformat(),
            }
            for metric in metrics
        ],
    }


def _run(manifest: Manifest) -> dict[str, Any]:
    return {
        "kind": manifest.kind,
        "run": manifest.run,
        "started": manifest.started.isoformat(),
        "seconds": manifest.duration_s,
        "bytes": manifest.total_bytes,
        "objects": len(manifest.objects),
        "program": manifest.program,
        "recipients": list(manifest.recipients),
        "counts": dict(manifest.counts),
    }


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def counts(manifest: Manifest) -> str:
    """What a run holds, in few words."""
    top = [f"{name} {number:,}" for name, number in manifest.counts.items()]
    return ", ".join(top) if len(top) <= 3 else f"{len(top)} counts, {sum(manifest.counts.values()):,} in all"


def runs_table(runs: Sequence[Runs], zone: ZoneInfo, now: datetime) -> Table:
    """Runs by kind, the newest first."""
    table = Table("kind", "run", "age", f"started ({zone.key})", "took", "size", "objects", "made by", "counts")
    for kind_runs in runs:
        for manifest in kind_runs.whole:
            table.add_row(
                manifest.kind,
                manifest.run,
                span(now - manifest.started),
                f"{manifest.started.astimezone(zone):%Y-%m-%d %H:%M}",
                f"{manifest.duration_s:.0f} s",
                size(manifest.total_bytes),
                str(len(manifest.objects)),
                Text(manifest.program),
                Text(counts(manifest)),
            )
        if kind_runs.total > len(kind_runs.whole):
            table.add_row(
                kind_runs.kind,
                f"and {kind_runs.total - len(kind_runs.whole)} more",
                "",
                "",
                "",
                size(kind_runs.bytes) + " in all",
            )
    return table


def archive_table(topics: Sequence[Archived], now: datetime) -> Table:
    """The archive by topic."""
    table = Table("topic", "partitions", "segments", "size", "offsets", "missing", "newest", title="Archive of Kafka")
    for topic in topics:
        table.add_row(
            topic.topic,
            str(topic.partitions),
            str(len(topic.segments)),
            size(topic.bytes),
            f"{topic.offsets:,}",
            Text(str(topic.missing), style="bold red" if topic.missing else ""),
            f"{span(now - topic.newest)} ago",
        )
    return table


def metrics_table(metrics: Sequence[Shipped], zone: ZoneInfo, now: datetime) -> Table:
    """Blocks by Prometheus."""
    table = Table("Prometheus", "blocks", "size", "samples", f"from ({zone.key})", "to", "age", title="Metrics")
    for metric in metrics:
        table.add_row(
            metric.name,
            str(metric.blocks),
            size(metric.bytes),
            f"{metric.samples:,}",
            f"{metric.start.astimezone(zone):%Y-%m-%d %H:%M}",
            f"{metric.end.astimezone(zone):%Y-%m-%d %H:%M}",
            span(now - metric.end),
        )
    return table


def print_proofs(proofs: Sequence[Proof], as_json: bool) -> None:
    """Print proofs to standard output."""
    if as_json:
        rows = [
            {
                "kind": proof.kind,
                "run": proof.run,
                "good": proof.good,
                "opened": proof.opened,
                "objects": proof.objects,
                "bytes": proof.bytes,
                "seen": list(proof.seen),
                "problems": list(proof.problems),
            }
            for proof in proofs
        ]
        typer.echo(json.dumps({"proofs": rows}, indent=2, ensure_ascii=False))
        return
    table = Table("", "kind", "run", "objects", "size", "seen", title="Backups")
    for proof in proofs:
        state = Text("ok", style="green") if proof.good else Text("bad", style="bold red")
        told = "; ".join(proof.problems or proof.seen)
        table.add_row(state, proof.kind, proof.run, str(proof.objects), size(proof.bytes), Text(told))
    Console().print(table)
