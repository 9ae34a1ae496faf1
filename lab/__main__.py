"""``python -m lab``: tools, cluster, stack and simulator of the embedded lab."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import environment, outside, setup
from lab.cluster import lifecycle, network
from lab.errors import LabError
from lab.paths import LabPaths
from lab.pulumi_host import home
from lab.receivers.report import show_notices
from lab.simulator import deploy as simulator
from lab.stack import Stack
from lab.summary import show_summary, wait_for_layers
from lab.timing import Steps

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_PATHS = LabPaths.of_checkout()


@app.command()
def tools(names: Annotated[list[str] | None, typer.Argument(help="only these; default all")] = None) -> None:
    """Install packages and build every tool that is not cached."""
    steps = Steps("toolchain")
    with steps.step("debian packages"):
        setup.packages()
    setup.toolchain(steps, names or ())
    steps.show()


@app.command()
def up() -> None:
    """Cluster, `pulumi up` of the local stack, simulator, live telemetry, summary."""
    steps = Steps("make up")
    with steps.step("debian packages"):
        setup.packages()
    setup.toolchain(steps)
    lifecycle.up(_PATHS, steps)
    network.join(_PATHS.netns)
    outside.wait_ready(_PATHS, steps)
    with steps.step("pulumi home"):
        home.install(_PATHS.pulumi_home, Path(sys.executable))
    stack = Stack(_PATHS)
    stack.ensure()
    stack.give_secrets(outside.secrets(_PATHS))
    with steps.step("pulumi up"):
        stack.up()
    outputs = stack.outputs()
    with steps.step("simulator"):
        simulator.deploy(outputs, str(_PATHS.kubeconfig), _PATHS.netns)
    with steps.step("five layers live"):
        series = wait_for_layers(outputs)
    show_summary(_PATHS, outputs, series)
    steps.show()
    steps.save(_PATHS.state / "up-times.json")


@app.command()
def preview(stack: str = environment.STACK) -> None:
    """`pulumi preview` of a stack against the embedded API server."""
    selected = Stack(_PATHS, stack)
    selected.ensure()
    if stack == environment.STACK:
        selected.give_secrets(outside.secrets(_PATHS))
    selected.preview()


@app.command()
def destroy() -> None:
    """`pulumi destroy` of the local stack, and a look that nothing is left; the cluster stays."""
    steps = Steps("destroy")
    stack = Stack(_PATHS)
    stack.ensure()
    namespace = str(stack.outputs().get("namespace", ""))
    with steps.step("simulator"):
        simulator.remove(str(_PATHS.kubeconfig), _PATHS.netns)
    with steps.step("pulumi destroy"):
        stack.destroy()
    with steps.step("nothing left"):
        lifecycle.wait_for_nothing_left(_PATHS, namespace)
    steps.show()


@app.command()
def down() -> None:
    """End the cluster and remove everything it wrote (the tool cache stays)."""
    lifecycle.down(_PATHS)


@app.command()
def status() -> None:
    """Show the parts of the cluster; exit code 1 when one is not running."""
    rows = lifecycle.status(_PATHS)
    table = Table("part", "pid")
    for name, pid in rows:
        table.add_row(name, str(pid) if pid else "[red]not running[/]")
    Console().print(table if rows else "no cluster: run `make up`")
    if not rows or any(pid is None for _, pid in rows):
        raise typer.Exit(1)


@app.command()
def notices(
    last: Annotated[int, typer.Option(min=1, help="how many of the newest")] = 30,
    alert: Annotated[str | None, typer.Option(help="only those about this alert: its name or alert_id")] = None,
    heartbeats: Annotated[bool, typer.Option(help="the watchdog's heartbeats too")] = False,
) -> None:
    """Show what the receivers outside the platform got: pager, SMS, Slack, mail, dead man's switch."""
    if not network.namespace_exists(_PATHS.netns):
        raise LabError("no cluster: run `make up`")
    network.join(_PATHS.netns)
    show_notices(_PATHS, last=last, alert=alert, heartbeats=heartbeats)


@app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(context: typer.Context) -> None:
    """Run a command inside the lab: its network namespace, KUBECONFIG, Pulumi backend and PATH."""
    if not context.args:
        raise LabError("exec: no command given; for example: python -m lab exec -- kubectl get pods -A")
    if not network.namespace_exists(_PATHS.netns):
        raise LabError("no cluster: run `make up`")
    command = environment.inside(_PATHS, list(context.args))
    sys.stdout.flush()
    os.execvpe(command[0], command, environment.variables(_PATHS))


def main() -> None:
    """Run the command line; a user's mistake or a failed step is one line, never a traceback."""
    try:
        app()
    except LabError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, markup=True)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; repeat the command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
