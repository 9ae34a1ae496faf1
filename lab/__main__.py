"""``python -m lab``: tools, cluster, stack and simulator of the embedded lab."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import environment, external_services, setup, timing
from lab.cluster import disruptions, lifecycle, network, scaling
from lab.cluster.controllers import Cluster
from lab.errors import LabError
from lab.fakes.receivers.client import show_notifications
from lab.paths import CHECKOUT, LabPaths
from lab.pulumi_host import home
from lab.simulator import deploy as simulator
from lab.stack import Stack
from lab.storage import setup as storage
from lab.summary import show_summary, wait_for_layers
from lab.timing import Steps
from lab.toolchain import tools as toolbox
from lab.toolchain.recipes import LOAD_GENERATOR

_Chosen = Annotated[str, typer.Option(help="local, or local-dr: the second region")]
_COPIED_LIMIT_S = 300.0
"""The second region's telemetry comes through the mirror, which starts after its Kafka."""

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
    steps.save()


@app.command()
def up(stack: _Chosen = environment.STACK) -> None:
    """Cluster, `pulumi up` of the local stack, simulator, live telemetry, summary; or the second region beside it."""
    second = _is_second(stack)
    disruptions.refuse_while_partitioned(_PATHS, _namespace(stack))
    steps = Steps("make up-dr" if second else "make up")
    with steps.step("debian packages"):
        setup.packages()
    setup.toolchain(steps)
    if second:
        _need_first_region()
    lifecycle.up(_PATHS, steps)
    network.join(_PATHS.netns)
    external_services.wait_ready(_PATHS, steps)
    with steps.step("pulumi home"):
        home.install(_PATHS.pulumi_home, Path(sys.executable))
    if second:
        with steps.step("first region: traces, logs, visualization, backups scaled down"):
            scaling.scale_down(_PATHS, _namespace(environment.STACK))
    chosen = Stack(_PATHS, stack)
    chosen.ensure()
    chosen.give_secrets(external_services.secrets(_PATHS, stack))
    coming = scaling.scale_down_on_creation(_PATHS, _namespace(stack)) if second else nullcontext()
    with steps.step("pulumi up"), coming:
        chosen.up()
    outputs = chosen.outputs()
    if second:
        with steps.step("second region: the same scaled down"):
            chosen.declare_replicas(_namespace(stack), scaling.scale_down(_PATHS, _namespace(stack)))
    else:
        with steps.step("simulator"):
            simulator.deploy(outputs, str(_PATHS.kubeconfig), _PATHS.netns)
    with steps.step("five layers live"):
        series = wait_for_layers(outputs, _COPIED_LIMIT_S) if second else wait_for_layers(outputs)
    show_summary(_PATHS, outputs, series, second=second)
    steps.show()
    steps.save(_PATHS.state / ("up-dr-times.json" if second else "up-times.json"))
    if not second:
        timing.leave(steps.taken, stack, _namespace(stack), _PATHS.kubeconfig)


@app.command()
def preview(stack: str = environment.STACK) -> None:
    """`pulumi preview` of a stack against the embedded API server."""
    selected = Stack(_PATHS, stack)
    selected.ensure()
    if stack in environment.STACKS:
        selected.give_secrets(external_services.secrets(_PATHS, stack))
    selected.preview()


@app.command()
def destroy(stack: _Chosen = environment.STACK) -> None:
    """`pulumi destroy` of a stack of the lab, and a look that nothing is left; the cluster stays."""
    second = _is_second(stack)
    disruptions.refuse_while_partitioned(_PATHS, _namespace(stack))
    steps = Steps(f"destroy {stack}" if second else "destroy")
    chosen = Stack(_PATHS, stack)
    chosen.ensure()
    namespace = str(chosen.outputs().get("namespace", ""))
    if not second:
        with steps.step("simulator"):
            simulator.remove(str(_PATHS.kubeconfig), _PATHS.netns)
    with steps.step("pulumi destroy"):
        chosen.destroy()
    with steps.step("nothing left"):
        lifecycle.wait_for_nothing_left(_PATHS, namespace)
    environment.forget_role(_PATHS, stack)
    scaling.forget(_PATHS, namespace)
    if second and _namespace(environment.STACK) in lifecycle.namespaces(_PATHS):
        with steps.step("first region: what was scaled down is scaled up"):
            scaling.scale_up(_PATHS, _namespace(environment.STACK))
    if lifecycle.namespaces(_PATHS).isdisjoint(_namespace(stack_name) for stack_name in environment.STACKS):
        network.join(_PATHS.netns)
        storage.forget_regions(_PATHS)
    steps.show()
    steps.save()


@app.command()
def partition(
    namespace: str,
    freeze: Annotated[bool, typer.Option(help="stop its pods' processes where they stand, too")] = False,
) -> None:
    """Partition a region without warning: no packet between its pods and anything but its own cluster.

    Cluster DNS, the API server and the kubelet's probes still reach them, as in a region with a cluster of its own.
    """
    _enter()
    parts = disruptions.partition(_PATHS, Cluster(_PATHS.state / "pki"), namespace, freeze=freeze)
    done = "partitioned and frozen" if freeze else "partitioned"
    print(f"{namespace} is {done}: {len(parts.pods)} pods, {len(parts.service_addresses)} Service IPs")
    if parts.on_node:
        print(f"not partitioned, since they have the node's own address: {', '.join(parts.on_node)}")


@app.command()
def reconnect(namespace: str) -> None:
    """End a partition; without one it changes nothing."""
    _enter()
    print(f"{namespace} is {'reconnected' if disruptions.reconnect(_PATHS, namespace) else 'not partitioned'}")


@app.command()
def scale_down(namespace: str) -> None:
    """Scale a region's traces, logs, visualization and backups to zero: two whole regions do not fit on two cores."""
    _enter()
    print(f"{namespace}: scaled down {_listed(scaling.scale_down(_PATHS, namespace))}")


@app.command()
def scale_up(namespace: str) -> None:
    """Undo `scale-down`; without a record of it nothing changes."""
    _enter()
    print(f"{namespace}: scaled up {_listed(scaling.scale_up(_PATHS, namespace))}")


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
    for partition in disruptions.partitions(_PATHS):
        print(f"partitioned{' and frozen' if partition.frozen else ''}: {partition.namespace}")
    for namespace, count in scaling.namespaces(_PATHS).items():
        print(f"scaled down in {namespace}: {count} parts and jobs (`python -m lab scale-up {namespace}`)")
    if not rows or any(pid is None for _, pid in rows):
        raise typer.Exit(1)


@app.command()
def notifications(
    last: Annotated[int, typer.Option(min=1, help="how many of the newest")] = 30,
    alert: Annotated[str | None, typer.Option(help="only those about this alert: its name or alert_id")] = None,
    heartbeats: Annotated[bool, typer.Option(help="the watchdog's heartbeats too")] = False,
) -> None:
    """Show what the receivers outside the platform got: pager, SMS, Slack, mail, dead man's switch."""
    _enter()
    show_notifications(_PATHS, last=last, alert=alert, heartbeats=heartbeats)


@app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(context: typer.Context) -> None:
    """Run a command inside the lab: its network namespace, KUBECONFIG, Pulumi backend and PATH."""
    if not context.args:
        raise LabError("exec: no command given; for example: python -m lab exec -- kubectl get pods -A")
    _need_cluster()
    command = environment.inside(_PATHS, list(context.args))
    sys.stdout.flush()
    os.execvpe(command[0], command, environment.variables(_PATHS))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> None:
    """Compare the metrics path with stock collector settings on the same brokers; `lab bench --help` lists options."""
    _need_cluster()
    toolbox.path(LOAD_GENERATOR)
    command = environment.inside(_PATHS, [sys.executable, "-m", "lab.bench_peer", *context.args])
    sys.stdout.flush()
    os.execvpe(command[0], command, environment.variables(_PATHS))


def _listed(parts: dict[str, int]) -> str:
    return ", ".join(sorted(parts)) or "nothing"


def _need_cluster() -> None:
    if not network.namespace_exists(_PATHS.netns):
        raise LabError("no cluster: run `make up`")


def _enter() -> None:
    _need_cluster()
    network.join(_PATHS.netns)


def _is_second(stack: str) -> bool:
    if stack not in environment.STACKS:
        raise LabError(f"stack {stack} is none of the lab: allowed are {', '.join(environment.STACKS)}")
    return stack == environment.SECOND_STACK


def _namespace(stack: str) -> str:
    return str(environment.committed(stack)["namespace"])


def _need_first_region() -> None:
    """The second region copies from the first, and takes the layers' passwords from its outputs.

    Raises:
        LabError: It is not up, or the node has no room for a second one.
    """
    _need_cluster()
    lifecycle.check_room(_PATHS)
    try:
        known = Stack(_PATHS).outputs()
    except LabError as error:
        raise LabError(f"the first region is not up: run `make up` first ({error})") from None
    if not known:
        raise LabError("the first region is not up: run `make up` first")


def _refuse_outside_of_a_checkout() -> None:
    if not (CHECKOUT / "Makefile").exists():
        raise LabError(
            f"the lab runs from a checkout of the project, and {CHECKOUT} is none: clone it and run `make up`"
        )


def main() -> None:
    """Run the command line; a user's mistake or a failed step is one line, never a traceback."""
    try:
        _refuse_outside_of_a_checkout()
        app()
    except LabError as error:
        Console(stderr=True).print("[bold red]error:[/]", escape(str(error)), highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; repeat the command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
