"""``python -m lab``: tools, clusters, stacks and simulator of the embedded lab.

A machine is prepared by Debian packages, then every tool of the recipes; that is safe to repeat and to interrupt. The
end of ``make up`` waits for live telemetry of all five layers and prints addresses and numbers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab import LabError, directory, environment, install_page, packages, registry, storage, timing
from lab import stack as stacks
from lab.cluster import disruptions, lifecycle, network, scaling
from lab.cluster.controllers import Cluster
from lab.fakes.identity import setup as identity
from lab.fakes.receivers import settings as receivers
from lab.fakes.receivers.client import show_notifications
from lab.open_page import Page, open_page
from lab.paths import CHECKOUT, LabPaths
from lab.pulumi_host import home
from lab.simulator import deploy as simulator
from lab.stack import Query, Stack, wait_for_layers
from lab.timing import TOOL, Steps
from lab.toolchain import containers
from lab.toolchain import tools as toolbox
from lab.toolchain.recipes import LOAD_GENERATOR, ON_DEMAND, RECIPES
from ops.core.files import write_private

_NEXT = {
    "python -m lab open grafana": "a page for a browser of this machine; also metrics, alerts",
    "make verify": "a line per requirement",
    "python -m lab exec -- kubectl get pods -A": "what runs",
    "python -m lab exec -- python -m ops connect --layer business --write DIR": "what a service needs to send",
    "python -m lab notifications": "what on-call was notified",
    "make e2e": "the core of the drills",
    "make up-dr": "a second region",
    "make down": "ends all of it",
}
_SECOND_NEXT = {
    "python -m lab exec -- python -m ops regions": "who is primary",
    "PULUMI_STACK=local-dr python -m lab exec -- python -m ops alerts": "a command for this region",
    "python -m lab exec -- kubectl --context obs-lab-dr get pods -A": "what runs here",
    "python -m lab partition obs-local": "cuts the first region off; `python -m lab reconnect obs-local`",
    "make destroy-dr": "ends this region",
}
_Chosen = Annotated[str, typer.Option(help="local, or local-dr: the second region")]
_KEEP_EVERY_S = 10.0
_COPIED_LIMIT_S = 300.0
"""The second region's telemetry comes through the mirror, which starts after its Kafka."""
storage_app = typer.Typer(no_args_is_help=True, help="Stop and start the object storage outside the platform; buckets.")
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_PATHS = LabPaths.of_checkout()


def build_tools(steps: Steps, only: Collection[str] = ()) -> None:
    """Build the recipes that are not cached yet, one after the other: a Go build uses every core by itself.

    Args:
        steps: Where each is announced.
        only: Names; none: all but those that only drills need.
    """
    known = {recipe.name for recipe in RECIPES}
    for name in only:
        if name not in known:
            raise LabError(f"tool {name}: unknown; allowed: {', '.join(sorted(known))}")
    wanted = set(only) or known - ON_DEMAND
    missing = {f"{TOOL}{recipe.name} {recipe.version}": recipe for recipe in RECIPES if recipe.name in wanted}
    for name, recipe in tuple(missing.items()):
        if toolbox.folder(recipe).is_dir():
            steps.skip(name)
            del missing[name]
    for name, recipe in missing.items():
        with steps.step(name):
            toolbox.ensure(recipe)
    toolbox.drop_build_cache()


def show_summary(paths: LabPaths, outputs: dict[str, Any], series: dict[str, int]) -> None:
    """Print where everything is, and what is live.

    Args:
        paths: The cluster.
        outputs: Of the stack, with secrets in clear.
        series: Layer -> number of live series.
    """
    console = Console()
    table = Table(title="live telemetry")
    table.add_column("layer")
    table.add_column("series", justify="right")
    for layer, count in series.items():
        table.add_row(layer, str(count))
    console.print(table)
    query = Query(outputs)
    down = query.number("count(up == 0) or vector(0)")
    up = query.number("count(up == 1) or vector(0)")
    which = ": `make verify ROW=P1` says which and why" if down else ""
    console.print(f"scrape targets up {up or 0:.0f}, down {down or 0:.0f}{which}", highlight=False)
    places = Table(title=f"addresses (inside the network namespace {paths.first.netns})")
    places.add_column("what", overflow="fold")
    places.add_column("where", overflow="fold")
    for what, key in (
        ("OTLP gRPC", "otlp_grpc"),
        ("OTLP HTTP", "otlp_http"),
        ("Kafka, external listener", "kafka_bootstrap"),
        ("metrics, single read address (Thanos Query)", "query_url"),
    ):
        places.add_row(what, str(outputs[key]).replace(",", "\n"))
    for clearance, url in outputs["trace_query_urls"].items():
        places.add_row(f"traces, clearance {clearance}", str(url))
    for login, url in outputs["sign_in_urls"].items():
        places.add_row(f"{login}, by an account of one's own", str(url))
    places.add_row(f"fake of the identity provider, people in {identity.folder(paths.first)}", identity.URL)
    places.add_row("fakes of pager, SMS, Slack, dead man's switch", receivers.URL)
    places.add_row("fake of the mail server", receivers.MAIL_SERVER)
    places.add_row(f"directory (OpenLDAP), {directory.BASE}", directory.URL)
    bucket = storage.SECOND_BUCKET if paths.is_second else storage.BUCKET
    places.add_row(f"object storage (S3), buckets {bucket} and {storage.WITNESS_BUCKET} (of both regions)", storage.URL)
    places.add_row(f"fake of Route 53, zone {receivers.DNS_ZONE}", receivers.URL)
    console.print(places)
    console.print("next:")
    console.print('  . "$(make -s venv)/bin/activate"\n      the Python of the commands below', highlight=False)
    for command, why in (_SECOND_NEXT if paths.is_second else _NEXT).items():
        console.print(f"  {command}\n      {why}", highlight=False, soft_wrap=True)


@app.command()
def tools(names: Annotated[list[str] | None, typer.Argument(help="only these; default all")] = None) -> None:
    """Install packages and build every tool that is not cached."""
    steps = Steps("toolchain")
    with steps.step("debian packages"):
        packages.install()
    build_tools(steps, names or ())
    steps.show()
    steps.save()


@app.command()
def up(
    stack: _Chosen = environment.STACK,
    kafka: Annotated[
        str, typer.Option(help="previous: begin with the release of Kafka before, for `ops drill kafka-upgrade`")
    ] = stacks.PINNED,
    controllers: Annotated[
        bool, typer.Option("--controllers", help="begin with dedicated controllers, for `ops drill kafka-controllers`")
    ] = False,
) -> None:
    """Cluster, `pulumi up` of the local stack, simulator, live telemetry, summary.

    Or a second cluster with the second region beside them.
    """
    second, paths = _is_second(stack), environment.cluster_paths(_PATHS, stack)
    previous = stacks.is_previous(kafka, stack)
    stacks.refuse_controllers_for_another_stack(controllers, stack)
    disruptions.refuse_while_partitioned(paths, _namespace(stack))
    lifecycle.check_machine(_PATHS)
    steps = Steps("make up-dr" if second else "make up")
    with steps.step("debian packages"):
        packages.install()
    build_tools(steps)
    if second:
        _need_first_region()
    with steps.step("images of the platform"):
        built = containers.build_all() | stacks.kafka_built(previous)
    lifecycle.up(paths, steps)
    network.join(_PATHS.netns)
    if previous:
        stacks.refuse_on_a_newer_one(paths, stack)
    lifecycle.wait_for_services(_PATHS, steps)
    with steps.step("images to the registry"):
        registry.publish(_PATHS, built)
    with steps.step("pulumi home"):
        home.install(_PATHS.pulumi_home, Path(sys.executable))
    if second:
        with steps.step("first region: traces, logs, visualization, backups scaled down"):
            scaling.scale_down(_PATHS, _namespace(environment.STACK))
    chosen = Stack(_PATHS, stack)
    if chosen.ensure():
        with steps.step("what a killed update left is removed"):
            lifecycle.remove_namespace(paths, _namespace(stack))
    created = _namespace(stack) not in lifecycle.namespaces(paths)
    chosen.give_secrets(lifecycle.service_secrets(_PATHS, stack))
    stacks.set_release(_PATHS, stack, previous=previous)
    dedicated = not second and stacks.choose_controllers(_PATHS, stack, wanted=controllers)
    coming = scaling.scale_down_on_creation(paths, _namespace(stack)) if second else nullcontext()
    with steps.step("pulumi up"), coming, registry.pull_secret_given(paths, _namespace(stack)):
        chosen.up()
    lifecycle.wait_for_metrics(paths, steps)
    outputs = chosen.outputs()
    if second:
        with steps.step("second region: the same scaled down"):
            chosen.declare_replicas(_namespace(stack), scaling.scale_down(paths, _namespace(stack)))
    else:
        with steps.step("simulator"):
            _give_simulator(outputs)
    with steps.step("five layers live"):
        series = wait_for_layers(outputs, _COPIED_LIMIT_S) if second else wait_for_layers(outputs)
    show_summary(paths, outputs, series)
    steps.show()
    steps.save(_PATHS.state / ("up-dr-times.json" if second else "up-times.json"))
    if created and not second and not previous and not dedicated:
        profile = str(environment.committed(stack)["profile"])
        timing.leave(steps.taken, stack, profile, _namespace(stack), _PATHS.kubeconfig)


@app.command()
def preview(stack: str = environment.STACK) -> None:
    """`pulumi preview` of a stack against its embedded cluster."""
    selected = Stack(_PATHS, stack)
    selected.ensure()
    if stack in environment.STACKS:
        selected.give_secrets(lifecycle.service_secrets(_PATHS, stack))
    selected.preview()


@app.command()
def destroy(stack: _Chosen = environment.STACK) -> None:
    """`pulumi destroy` of a stack of the lab, and a look that nothing is left.

    The first cluster stays, the second one ends with its region.
    """
    second, paths = _is_second(stack), environment.cluster_paths(_PATHS, stack)
    disruptions.refuse_while_partitioned(paths, _namespace(stack))
    _need_cluster(paths)
    steps = Steps(f"destroy {stack}" if second else "destroy")
    chosen = Stack(_PATHS, stack)
    chosen.ensure()
    namespace = str(chosen.outputs().get("namespace", ""))
    if not second:
        with steps.step("simulator"):
            simulator.remove(str(_PATHS.kubeconfig), _PATHS.netns)
    if namespace in scaling.namespaces(paths):
        with steps.step("what was filled is scaled up, to be emptied"):
            scaling.scale_up_filled(paths, namespace)
    with steps.step("pulumi destroy"):
        chosen.destroy()
    with steps.step("nothing left"):
        lifecycle.wait_for_nothing_left(paths, namespace)
    environment.forget_changes(_PATHS, stack)
    scaling.forget(paths, namespace)
    if second:
        with steps.step("second cluster"):
            lifecycle.down(paths)
    first_is_up = _namespace(environment.STACK) in lifecycle.namespaces(_PATHS)
    if second and first_is_up:
        with steps.step("first region: what was scaled down is scaled up"):
            scaling.scale_up(_PATHS, _namespace(environment.STACK))
    if not first_is_up and not network.namespace_exists(_PATHS.second.netns):
        network.join(_PATHS.netns)
        storage.forget_regions(_PATHS)
    steps.show()
    steps.save()


@app.command(name="simulator")
def renew_simulator() -> None:
    """Give the simulator the passwords of the stack's outputs, and wait until it sends with them."""
    _enter()
    chosen = Stack(_PATHS, environment.STACK)
    chosen.ensure()
    _give_simulator(chosen.outputs())
    print("the simulator sends with the passwords of the stack's outputs")


def _give_simulator(outputs: Mapping[str, Any]) -> None:
    pull_secret = registry.pull_secret(_PATHS, simulator.NAMESPACE)
    image = registry.simulator_image(_PATHS)
    simulator.deploy(outputs, image, pull_secret, str(_PATHS.kubeconfig), _PATHS.netns)


@app.command()
def partition(
    namespace: str,
    freeze: Annotated[bool, typer.Option(help="stop its pods' processes where they stand, too")] = False,
) -> None:
    """Partition a region without warning: no packet between its pods and anything but its own cluster.

    Cluster DNS, the API server and the kubelet's probes still reach them, as in a region with a cluster of its own.
    """
    paths = _paths_of(namespace)
    _enter(paths)
    parts = disruptions.partition(paths, Cluster(paths), namespace, freeze=freeze)
    done = "partitioned and frozen" if freeze else "partitioned"
    print(f"{namespace} is {done}: {len(parts.pods)} pods, {len(parts.service_addresses)} Service IPs")
    if parts.on_node:
        print(f"not partitioned, since they have the node's own address: {', '.join(parts.on_node)}")


@app.command()
def reconnect(namespace: str) -> None:
    """End a partition; without one it changes nothing."""
    paths = _paths_of(namespace)
    _enter(paths)
    print(f"{namespace} is {'reconnected' if disruptions.reconnect(paths, namespace) else 'not partitioned'}")


@app.command()
def keep_scaled_down() -> None:
    """Until its standard input ends, scale down what either region is given of `scale-down`'s parts meanwhile.

    A role that changes brings nothing back that two regions at once are too much for here.
    """
    _enter()
    with ExitStack() as regions:
        for stack in environment.STACKS:
            paths = environment.cluster_paths(_PATHS, stack)
            regions.enter_context(scaling.scale_down_on_creation(paths, _namespace(stack), every_s=_KEEP_EVERY_S))
        sys.stdin.read()


@storage_app.command("stop")
def stop_storage() -> None:
    """Stop it; what is stored stays."""
    _need_cluster()
    storage.daemon(_PATHS).stop()
    print("the object storage is stopped: `python -m lab storage start` starts it")


@storage_app.command("start")
def start_storage() -> None:
    """Start it unless it runs, and wait until it answers."""
    _enter()
    storage.daemon(_PATHS).start()
    storage.wait_ready(_PATHS)
    print("the object storage runs")


@storage_app.command("bucket")
def bucket(name: str, file: Path) -> None:
    """Make a bucket with a key of its own; FILE gets what a stack needs to use it (`objectStorageSecrets`)."""
    _enter()
    write_private(file, json.dumps(storage.give_bucket(_PATHS, name)).encode())
    print(f"bucket {name}: its key is in {file}")


app.add_typer(storage_app, name="storage")


@app.command(name="install")
def follow_install_page() -> None:
    """Follow docs/install.md word for word on the embedded cluster, as on one's own, and remove it again.

    After `make destroy`, which leaves the cluster. Ten minutes; evidence `install-followed`.
    """
    install_page.follow(_PATHS)


@app.command()
def scale_down(namespace: str) -> None:
    """Scale a region's traces, logs, visualization and backups to zero: two whole regions do not fit on two cores."""
    paths = _paths_of(namespace)
    _enter(paths)
    print(f"{namespace}: scaled down {_listed(scaling.scale_down(paths, namespace))}")


@app.command()
def scale_up(namespace: str) -> None:
    """Undo `scale-down`; without a record of it nothing changes."""
    paths = _paths_of(namespace)
    _enter(paths)
    print(f"{namespace}: scaled up {_listed(scaling.scale_up(paths, namespace))}")


@app.command()
def down() -> None:
    """End the clusters and remove everything they wrote (the tool cache stays)."""
    lifecycle.down(_PATHS)


@app.command()
def status() -> None:
    """Show the parts of the clusters; exit code 1 when one is not running."""
    clusters = (_PATHS, _PATHS.second)
    rows = [(network.cluster_of(paths).context, *row) for paths in clusters for row in lifecycle.status(paths)]
    table = Table("cluster", "part", "pid")
    for cluster, name, pid in rows:
        table.add_row(cluster, name, str(pid) if pid else "[red]not running[/]")
    Console().print(table if rows else "no cluster: run `make up`")
    for paths in clusters:
        for partition in disruptions.partitions(paths):
            print(f"partitioned{' and frozen' if partition.frozen else ''}: {partition.namespace}")
        for namespace, count in scaling.namespaces(paths).items():
            print(f"scaled down in {namespace}: {count} parts and jobs (`python -m lab scale-up {namespace}`)")
    if not rows or any(pid is None for *_, pid in rows):
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
    """Run a command inside the lab: network namespace, KUBECONFIG of its clusters, Pulumi backend and PATH."""
    if not context.args:
        raise LabError("exec: no command given; for example: python -m lab exec -- kubectl get pods -A")
    _need_cluster()
    command = environment.inside(_PATHS, list(context.args))
    sys.stdout.flush()
    os.execvpe(command[0], command, environment.variables(_PATHS))


@app.command(name="open")
def open_in_browser(
    page: Annotated[Page, typer.Argument(metavar="PAGE", help="grafana, metrics or alerts")],
    minutes: Annotated[float, typer.Option(min=0.01, max=24 * 60, help="how long at most")] = 60,
) -> None:
    """Open a page for a browser of this machine, with TLS, and say how to sign in; until Ctrl-C."""
    _need_cluster()
    raise typer.Exit(open_page(_PATHS, page, minutes))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> None:
    """Compare a signal's path with stock settings on the same brokers; `lab bench --help` lists options."""
    _need_cluster()
    toolbox.path(LOAD_GENERATOR)
    command = environment.inside(_PATHS, [sys.executable, "-m", "lab.peer", *context.args])
    sys.stdout.flush()
    os.execvpe(command[0], command, environment.variables(_PATHS))


def _listed(parts: dict[str, int]) -> str:
    return ", ".join(sorted(parts)) or "nothing"


def _need_cluster(paths: LabPaths | None = None) -> None:
    chosen = paths or _PATHS
    if not network.namespace_exists(chosen.netns):
        raise LabError(f"no cluster: run `make up{'-dr' if chosen.is_second else ''}`")


def _enter(paths: LabPaths | None = None) -> None:
    _need_cluster(paths)
    network.join((paths or _PATHS).netns)


def _paths_of(namespace: str) -> LabPaths:
    """Of the cluster that a platform's namespace is in."""
    return _PATHS.second if namespace == _namespace(environment.SECOND_STACK) else _PATHS


def _is_second(stack: str) -> bool:
    if stack not in environment.STACKS:
        raise LabError(f"stack {stack} is none of the lab: allowed are {', '.join(environment.STACKS)}")
    return stack == environment.SECOND_STACK


def _namespace(stack: str) -> str:
    return str(environment.committed(stack)["namespace"])


def _need_first_region() -> None:
    """The second region copies from the first, and takes the layers' passwords from its outputs.

    Raises:
        LabError: It is not up.
    """
    _need_cluster()
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


def _fail(reason: str) -> NoReturn:
    Console(stderr=True).print("[bold red]error:[/]", escape(reason), highlight=False, soft_wrap=True)
    sys.exit(1)


def main() -> None:
    """Run the command line; a user's mistake or a failed step is one line, never a traceback."""
    # What pods and services run as other users read has to be readable; secrets get modes of their own.
    os.umask(0o022)
    environment.ask_no_proxy()
    try:
        _refuse_outside_of_a_checkout()
        app()
    except LabError as error:
        _fail(str(error))
    except PermissionError as error:
        _fail(f"{error.filename}: {error.strerror}: the lab is of the user who ran `make up`")
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror}")
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; repeat the command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
