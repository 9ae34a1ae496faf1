"""``python -m lab.peer``, inside the lab: compare the platform with its peer."""

from __future__ import annotations

import shutil
import signal as signals
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer.comparison import Comparison, PeerSettings, Sides
from lab.peer.peer import Peer, topic
from lab.peer.plans import PLANS
from lab.peer.stores import span_indices
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.evidence import files as evidence
from ops.loadtest.bench_command import say, show
from ops.loadtest.bench_paths import path_of
from ops.loadtest.bench_requests import batch


def compare(
    signal: Annotated[Signal, typer.Option(help="Whose paths are compared.")] = Signal.METRICS,
    rate: Annotated[float, typer.Option(min=0, max=200_000, help="Items/s, of both; 0: what suits the signal.")] = 0,
    items: Annotated[int, typer.Option(min=0, max=20_000, help="Items of a request; 0: what suits the signal.")] = 0,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Connections.")] = 8,
    seconds: Annotated[float, typer.Option(min=10, max=600, help="Length of each of the four turns.")] = 40,
    idle_seconds: Annotated[float, typer.Option(min=10, max=600, help="Idle time that is watched before each.")] = 15,
    catch_up_seconds: Annotated[float, typer.Option(min=5, max=300, help="Longest wait after a turn.")] = 60,
    keep: Annotated[bool, typer.Option(help="Write evidence.")] = True,
) -> None:
    """Compare a path of the platform with stock settings on the same brokers: what a CPU second carries."""
    plan = PLANS[signal]
    settings = PeerSettings(
        signal=signal,
        rate=rate or plan.rate,
        size=items or plan.size,
        clients=clients,
        turn_s=seconds,
        idle_s=idle_seconds,
        catch_up_s=catch_up_seconds,
    )
    sent = batch(signal, settings.size)
    started = datetime.now(UTC)
    platform = platform_module.load()
    with ExitStack() as stack:
        context = stack.enter_context(Context(platform, Kube.of(platform)))
        path = path_of(context, sent)
        stack.enter_context(topic(context))
        indices = stack.enter_context(span_indices(context)) if signal is Signal.TRACES else None
        folder = Path(tempfile.mkdtemp(prefix="obs-peer-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        peer = Peer(context, sent, folder, indices)
        stack.callback(peer.stop)
        say(f"{signal}: starting the peer: {', '.join(plan.processes)}")
        peer.start()
        stored = indices.spans_of_platform if indices is not None else None
        sides = Sides(path=path, peer=peer, batch=sent, stored=stored)
        figures = Comparison(context, sides, settings).measure()
        if keep:
            evidence.write(
                plan.evidence, figures=figures, kube=context.kube, started=started, settings=settings.written()
            )
    show(figures)


def main() -> None:
    """Run inside the lab; a mistake is one line."""
    # Else a termination would leave the peer's processes, its topic and its indices behind.
    for number in (signals.SIGTERM, signals.SIGHUP):
        signals.signal(number, lambda *_: sys.exit(143))
    try:
        typer.run(compare)
    except (LabError, OpsError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
