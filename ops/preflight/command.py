"""``obs preflight``: one line a check, with what to do. Nothing is changed. Exit code 1 when a check fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from ops import config
from ops.config import Configuration
from ops.core import platform
from ops.core.errors import OpsError, one_line
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.preflight.addresses import (
    RECORDS,
    examples,
    looked_up,
    names,
    networks,
    own_names,
    records_told,
    secret_places,
)
from ops.preflight.checks import CHECK, brokers, guarded, left_out, logs_plugin, of_cluster
from ops.preflight.demand import Cluster, render
from ops.preflight.images import CHECK as IMAGES
from ops.preflight.images import in_registries
from ops.preflight.lines import Line, State

_STYLES: Final = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red"}


def preflight(
    file: Annotated[
        Path | None, typer.Option("--file", help="Stack file; its encrypted values only have to be there.")
    ] = None,
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print for machines.")] = False,
) -> None:
    """Check that the stack's cluster has what the platform needs, before anything is changed. Exit code 1: it lacks."""
    configuration = config.chosen(file, stack)
    lines = check(configuration)
    if as_json:
        shown = {"stack": configuration.stack, "checks": [line.as_json() for line in lines]}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for line in lines:
            remedy = f": {line.remedy}" if line.remedy else ""
            text = Text(f"{line.state:<5} {line.check:<17} {line.detail}{remedy}")
            text.stylize(_STYLES[line.state], 0, 5)
            console.print(text)
    raise typer.Exit(exit_code(lines))


def exit_code(lines: Sequence[Line]) -> int:
    """0 when no check fails, else 1."""
    return int(any(line.state is State.FAIL for line in lines))


def check(configuration: Configuration, kubeconfig: Path | None = None) -> list[Line]:
    """Every line, in the order in which they are worth reading.

    Args:
        configuration: Of the stack.
        kubeconfig: In place of ``KUBECONFIG``.
    """
    from stacks.check import read

    problems = config.problems(configuration)
    lines = [_configuration(configuration, problems), *map(left_out, config.not_promised(configuration))]
    settings, _ = read(configuration.stack, configuration.values)
    if settings is None:
        return lines
    places = secret_places(settings, configuration.values)
    lines += [*names(settings, more=places), examples(settings), networks(settings, places), *logs_plugin(settings)]
    try:
        kube = Kube.connect(settings.namespace, kubeconfig, settings.cluster.context)
    except OpsError as error:
        remedy = "`python -m ops config set-cluster --context CONTEXT` names the cluster in the stack file"
        return [*lines, Line(check="cluster", state=State.FAIL, detail=one_line(error), remedy=remedy)]
    try:
        cluster, demand = Cluster(kube), render(configuration, settings.namespace)
        lines += (seen := of_cluster(cluster, settings, demand))
        if len(seen) > 1:  # It is the right cluster.
            hosts = own_names(settings)
            lines += guarded(RECORDS, lambda: list(records_told(hosts, kube.balancers(), looked_up)))
            lines += guarded(IMAGES, lambda: list(in_registries(cluster, demand)))
        if not exit_code(lines):
            lines += guarded(
                CHECK, lambda: [brokers(kube, len(settings.kafka.brokers), partial(_copies, configuration))]
            )
        return lines
    finally:
        kube.close()


def _copies(configuration: Configuration) -> Mapping[int, int]:
    """Broker -> its copies, as Kafka says."""
    kafka = KafkaAdmin(platform.load(stack=configuration.stack))
    try:
        return kafka.copies()
    finally:
        kafka.close()


def _configuration(configuration: Configuration, problems: Sequence[str]) -> Line:
    if not problems:
        return Line(check="configuration", state=State.OK, detail="complete")
    more = f" (+{len(problems) - 1})" if len(problems) > 1 else ""
    return Line(
        check="configuration",
        state=State.FAIL,
        detail=f"{one_line(problems[0])}{more}",
        remedy="`python -m ops config check` names everything",
    )
