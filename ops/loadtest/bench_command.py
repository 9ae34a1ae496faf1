"""``ops bench``: how much of a signal the platform takes, for each size of request and number of clients, as evidence.

A size that cannot be measured costs no other its figures.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from components.telemetry.layers import Signal
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.evidence import files as evidence
from ops.evidence.reading import NOT_MEASURED
from ops.loadtest.bench import REST_S, Bench, BenchSettings

MOST_CLIENTS, MOST_IN_FLIGHT = 64, 16
_LONG_S = 600.0
"""A window from this length on has evidence of its own."""
_MOST_RATE = 10_000_000


def as_settings(settings: BenchSettings) -> dict[str, Any]:
    """Settings as evidence keeps them."""
    return {name: str(value) if isinstance(value, Signal) else value for name, value in asdict(settings).items()}


def bench(
    signal: Annotated[Signal, typer.Option(help="Whose path is measured.")] = Signal.METRICS,
    items: Annotated[str, typer.Option(help="Items of one request; several with commas.")] = "1000",
    clients: Annotated[str, typer.Option(help="Connections; several with commas, for the first size.")] = "32",
    in_flight: Annotated[
        int, typer.Option(min=1, max=MOST_IN_FLIGHT, help="Requests of one client at the same time.")
    ] = 1,
    rate: Annotated[
        str, typer.Option(help="Items/s of the first step; several with commas, for each size; 0: a low one.")
    ] = "0",
    steps: Annotated[int, typer.Option(min=0, max=20, help="Most steps; 0: only the window, at --rate.")] = 8,
    step_seconds: Annotated[float, typer.Option(min=5, max=300, help="Length of a step.")] = 15,
    window_seconds: Annotated[float, typer.Option(min=10, max=3600, help="Length of the window.")] = 60,
    idle_seconds: Annotated[float, typer.Option(min=15, max=600, help="How long the idle platform is watched.")] = 30,
    catch_up_seconds: Annotated[float, typer.Option(min=10, max=900, help="Longest wait for what was sent.")] = 45,
    limit_seconds: Annotated[float, typer.Option(min=60, help="Longest time for each size or number.")] = 345,
    burst: Annotated[bool, typer.Option(help="What is accepted at --rate, and when all of it has arrived.")] = False,
    keep: Annotated[bool, typer.Option(help="Write evidence.")] = True,
) -> None:
    """Measure how much of a signal the platform sustains, step by step, and what that costs. Sends real load."""
    sizes = numbers("--items", items, most=20_000)
    connections = numbers("--clients", clients, most=MOST_CLIENTS)
    rates = numbers("--rate", rate, least=0, most=_MOST_RATE)
    if len(rates) not in (1, len(sizes)):
        raise OpsError(f"--rate is {rate!r}, must be one number, or one for each of the {len(sizes)} of --items")
    settings = BenchSettings(
        signal=signal,
        clients=connections[0],
        in_flight=in_flight,
        rate=rates[0],
        steps=0 if burst else steps,
        step_s=step_seconds,
        window_s=window_seconds,
        idle_s=idle_seconds,
        catch_up_s=catch_up_seconds,
        limit_s=max(limit_seconds, idle_seconds + window_seconds + catch_up_seconds + REST_S),
        burst=burst,
    )
    started = datetime.now(UTC)
    platform = platform_module.load()
    figures: dict[str, Any] = {}
    problems: list[str] = []
    with Context(platform, Kube.of(platform)) as context:
        for part, chosen in parts_of(settings, sizes, connections, rates).items():
            what = f"requests of {chosen.size:,} items, {chosen.clients} clients"
            if chosen.in_flight > 1:
                what += f" with {chosen.in_flight} in flight each"
            say(f"{signal}: {what}")
            one = Bench(context, chosen, say)
            try:
                measured = one.measure()
            except OpsError as error:
                problems.append(f"{what}: {one_line(error)}")
                measured = {NOT_MEASURED: one_line(error), "steps": [step.figures() for step in one.steps]}
            used = {"clients": chosen.clients, "requests in flight of each": chosen.in_flight}
            figures |= {part: {**used, **measured}} if part else measured
        show(figures)
        if keep:
            evidence.write(
                evidence_name(settings),
                figures=figures,
                kube=context.kube,
                passed=not problems,
                problems=problems,
                started=started,
                settings={
                    **as_settings(settings),
                    "size": list(sizes),
                    "rate": list(rates),
                    "more_clients": list(connections[1:]),
                },
            )
    if problems:
        raise OpsError("; ".join(problems))


def evidence_name(settings: BenchSettings) -> str:
    """Name of the evidence: bursts and long windows have their own."""
    kind = "burst" if settings.burst else "sustained" if settings.window_s >= _LONG_S else "bench"
    return f"{kind}-{settings.signal}"


def parts_of(
    settings: BenchSettings, sizes: Sequence[int], clients: Sequence[int], rates: Sequence[float]
) -> dict[str, BenchSettings]:
    """What is measured, by the name of its figures: the first size with the first number of clients has none.

    The other numbers of clients are measured with the first size. The other sizes are measured with about as many items
    in flight as the first one, from as many devices: small requests by more clients at once, large ones by fewer;
    each at its rate, where there is more than one.
    """
    first = replace(settings, size=sizes[0], clients=clients[0])
    return {
        "": first,
        **{
            f"{size} items a request": _as_much_in_flight(replace(first, rate=own), size)
            for size, own in list(zip(sizes, itertools.cycle(rates), strict=False))[1:]
        },
        **{f"{count} clients": replace(first, clients=count) for count in clients[1:]},
    }


def _as_much_in_flight(first: BenchSettings, size: int) -> BenchSettings:
    requests = max(1, round(first.size * first.clients * first.in_flight / size))
    in_flight = min(MOST_IN_FLIGHT, math.ceil(requests / MOST_CLIENTS))
    return replace(first, size=size, clients=min(MOST_CLIENTS, max(1, requests // in_flight)), in_flight=in_flight)


def numbers(option: str, text: str, *, least: int = 1, most: int) -> tuple[int, ...]:
    """Numbers of an option, from ``1000`` or ``1000,20,5000``.

    Raises:
        OpsError: It is no such text, or one is not between ``least`` and ``most``.
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(least <= value <= most for value in values):
        raise OpsError(f"{option} is {text!r}, must be numbers from {least} to {most}, with commas between")
    return values


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
