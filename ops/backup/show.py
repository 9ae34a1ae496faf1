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

from ops.backup.runs import Archived, Runs, Shipped
from ops.backup.verify import Proof
from ops.silences import span
from services.backup.manifest import Manifest

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def listing(found: Sequence[Runs], topics: Sequence[Archived], metrics: Sequence[Shipped]) -> dict[str, Any]:
    """Everything that is stored, for machines."""
    return {
        "runs": [_run(made) for each in found for made in each.whole],
        "kinds": [
            {"kind": each.kind, "runs": each.total, "bytes": each.bytes, "not_whole": list(each.torn)} for each in found
        ],
        "archive": [
            {
                "topic": each.topic,
                "partitions": each.partitions,
                "segments": len(each.segments),
                "bytes": each.bytes,
                "offsets": each.offsets,
                "missing": each.missing,
                "newest_stored_at": each.newest.isoformat(),
                "topic_ids": list(each.lives),
            }
            for each in topics
        ],
        "metrics": [
            {
                "labels": dict(each.labels),
                "blocks": each.blocks,
                "bytes": each.bytes,
                "samples": each.samples,
                "start": each.start.isoformat(),
                "end": each.end.isoformat(),
            }
            for each in metrics
        ],
    }


def _run(made: Manifest) -> dict[str, Any]:
    return {
        "kind": made.kind,
        "run": made.run,
        "started": made.started.isoformat(),
        "seconds": made.duration_s,
        "bytes": made.total_bytes,
        "objects": len(made.objects),
        "program": made.program,
        "recipients": list(made.recipients),
        "counts": dict(made.counts),
    }


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def counts(made: Manifest) -> str:
    """What a run holds, in few words."""
    top = [f"{name} {number:,}" for name, number in made.counts.items()]
    return ", ".join(top) if len(top) <= 3 else f"{len(top)} counts, {sum(made.counts.values()):,} in all"


def runs_table(found: Sequence[Runs], zone: ZoneInfo, now: datetime) -> Table:
    """Runs by kind, the newest first."""
    table = Table("kind", "run", "age", f"started ({zone.key})", "took", "size", "objects", "made by", "counts")
    for each in found:
        for made in each.whole:
            table.add_row(
                made.kind,
                made.run,
                span(now - made.started),
                f"{made.started.astimezone(zone):%Y-%m-%d %H:%M}",
                f"{made.duration_s:.0f} s",
                size(made.total_bytes),
                str(len(made.objects)),
                Text(made.program),
                Text(counts(made)),
            )
        if each.total > len(each.whole):
            table.add_row(
                each.kind, f"and {each.total - len(each.whole)} more", "", "", "", size(each.bytes) + " in all"
            )
    return table


def archive_table(topics: Sequence[Archived], now: datetime) -> Table:
    """The archive by topic."""
    table = Table("topic", "partitions", "segments", "size", "offsets", "missing", "newest", title="Archive of Kafka")
    for each in topics:
        table.add_row(
            each.topic,
            str(each.partitions),
            str(len(each.segments)),
            size(each.bytes),
            f"{each.offsets:,}",
            Text(str(each.missing), style="bold red" if each.missing else ""),
            f"{span(now - each.newest)} ago",
        )
    return table


def metrics_table(metrics: Sequence[Shipped], zone: ZoneInfo, now: datetime) -> Table:
    """Blocks by Prometheus."""
    table = Table("Prometheus", "blocks", "size", "samples", f"from ({zone.key})", "to", "age", title="Metrics")
    for each in metrics:
        table.add_row(
            each.name,
            str(each.blocks),
            size(each.bytes),
            f"{each.samples:,}",
            f"{each.start.astimezone(zone):%Y-%m-%d %H:%M}",
            f"{each.end.astimezone(zone):%Y-%m-%d %H:%M}",
            span(now - each.end),
        )
    return table


def print_proofs(proofs: Sequence[Proof], as_json: bool) -> None:
    """Print proofs to standard output."""
    if as_json:
        rows = [
            {
                "kind": each.kind,
                "run": each.run,
                "good": each.good,
                "opened": each.opened,
                "objects": each.objects,
                "bytes": each.bytes,
                "seen": list(each.seen),
                "problems": list(each.problems),
            }
            for each in proofs
        ]
        typer.echo(json.dumps({"proofs": rows}, indent=2, ensure_ascii=False))
        return
    table = Table("", "kind", "run", "objects", "size", "seen", title="Backups")
    for each in proofs:
        state = Text("ok", style="green") if each.good else Text("bad", style="bold red")
        told = "; ".join(each.problems or each.seen)
        table.add_row(state, each.kind, each.run, str(each.objects), size(each.bytes), Text(told))
    Console().print(table)
