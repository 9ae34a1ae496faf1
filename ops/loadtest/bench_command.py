"""``ops bench``: how much of a signal the platform takes, with evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from components.telemetry.layers import Signal
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.evidence import files as evidence
from ops.loadtest.bench import Bench, BenchSettings, as_settings

_SIZES = (1, 20_000)


def bench(
    signal: Annotated[Signal, typer.Option(help="Whose path is measured.")] = Signal.METRICS,
    items: Annotated[str, typer.Option(help="Items of one request; several with commas.")] = "1000",
    clients: Annotated[int, typer.Option(min=1, max=64, help="Connections.")] = 8,
    in_flight: Annotated[int, typer.Option(min=1, max=16, help="Requests of one client at the same time.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Items/s of the first step; 0: a low one.")] = 0,
    steps: Annotated[int, typer.Option(min=0, max=20, help="Most steps; 0: only the window, at --rate.")] = 8,
    step_seconds: Annotated[float, typer.Option(min=5, max=300, help="Length of a step.")] = 15,
    window_seconds: Annotated[float, typer.Option(min=10, max=3600, help="Length of the window.")] = 60,
    idle_seconds: Annotated[float, typer.Option(min=15, max=600, help="How long the idle platform is watched.")] = 30,
    catch_up_seconds: Annotated[float, typer.Option(min=10, max=900, help="Longest wait for what was sent.")] = 45,
    limit_seconds: Annotated[float, typer.Option(min=60, help="Longest time for each size of request.")] = 345,
    keep: Annotated[bool, typer.Option(help="Write evidence.")] = True,
) -> None:
    """Measure how much of a signal the platform sustains, step by step, and what that costs. Sends real load."""
    settings = BenchSettings(
        signal=signal,
        clients=clients,
        in_flight=in_flight,
        rate=rate,
        steps=steps,
        step_s=step_seconds,
        window_s=window_seconds,
        idle_s=idle_seconds,
        catch_up_s=catch_up_seconds,
        limit_s=limit_seconds,
    )
    sizes = sizes_of(items)
    started = datetime.now(UTC)
    platform = platform_module.load()
    figures: dict[str, Any] = {}
    with Context(platform, Kube.connect(platform.namespace)) as context:
        for size in sizes:
            say(f"{signal}: requests of {size:,} items, {clients} clients")
            measured = Bench(context, replace(settings, size=size), say).measure()
            figures |= {f"{size} items a request": measured} if figures else measured
        if keep:
            written = {**as_settings(settings), "size": list(sizes)}
            evidence.write(f"bench-{signal}", figures=figures, kube=context.kube, started=started, settings=written)
    show(figures)


def sizes_of(text: str) -> tuple[int, ...]:
    """Sizes of requests from ``1000`` or ``1000,20,5000``.

    Raises:
        OpsError: It is no such text.
    """
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(_SIZES[0] <= size <= _SIZES[1] for size in sizes):
        raise OpsError(f"--items is {text!r}, must be numbers from {_SIZES[0]} to {_SIZES[1]}, with commas between")
    return sizes


def say(text: str) -> None:
    """A line of progress, with or without a terminal."""
    typer.echo(text, err=True)


def show(figures: Mapping[str, Any], indent: str = "") -> None:
    """Print figures, one a line."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            typer.echo(f"{indent}{name}:")
            show(value, indent + "  ")
        elif isinstance(value, list):
            typer.echo(f"{indent}{name}:")
            for nested in value:
                typer.echo(f"{indent}  {json.dumps(nested, ensure_ascii=False)}")
        else:
            typer.echo(f"{indent}{name}: {value}")
