"""``obs up``: from a stack file to live pods on a cluster of one's own.

Nothing is changed in the cluster before configuration and cluster pass every check. While Pulumi works, the addresses
of load balancers are told as soon as they are known, since topics and Grafana's content go through their names.
Interrupted or failed, it is safe to repeat.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from typing import Annotated, Any, Final, Self

import typer
from kubernetes.client.exceptions import ApiException

from ops import config
from ops.core import health, pulumi
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, call_errors
from ops.core.terminal import clock, confirm
from ops.images import registry
from ops.preflight import command as preflight
from ops.preflight.addresses import Record, missing_records, own_names, resolved
from ops.preflight.images import KEY, KIND, SECRETS
from ops.preflight.lines import State
from stacks.check import read
from stacks.settings import Settings

_MANAGER: Final = "obs"
_LIMIT_S: Final = 15


def login_file(hosts: Sequence[str]) -> str:
    """Logins at registries, as a pull secret holds them.

    Args:
        hosts: Registries with their ports.

    Raises:
        OpsError: This machine has no login at one of them.
    """
    logins = {host: registry.login(host) for host in hosts}
    if without := [host for host, pair in logins.items() if pair is None]:
        raise OpsError(
            f"--pull-secrets: this machine has no login at {', '.join(without)}: log in with the account that nodes "
            "are to have (`skopeo login HOST`, `docker login HOST`), or name its file in REGISTRY_AUTH_FILE"
        )
    pairs = {host: ":".join(pair) for host, pair in logins.items() if pair}
    return json.dumps(
        {"auths": {host: {"auth": base64.b64encode(pair.encode()).decode()} for host, pair in pairs.items()}}
    )


def apply_pull_secret(kube: Kube, name: str, content: str) -> bool:
    """Make a pull secret, or give one of this kind that there is this content.

    Args:
        kube: The platform's namespace.
        name: Of the Secret.
        content: As of `login_file`.

    Returns:
        Whether it is there: False while the namespace is not.

    Raises:
        OpsError: It may not be made, or the cluster does not answer.
    """
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": KIND,
        "data": {KEY: base64.b64encode(content.encode()).decode()},
    }
    options: dict[str, Any] = {"field_manager": _MANAGER, "_request_timeout": _LIMIT_S}
    with call_errors(f"cannot make the Secret {name} of namespace {kube.namespace}"):
        try:
            kube.core.create_namespaced_secret(kube.namespace, body, **options)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            if error.status != HTTPStatus.CONFLICT:
                raise
            kube.core.patch_namespaced_secret(name, kube.namespace, {"data": body["data"]}, **options)
    return True


HEALTHY_S: Final = 600.0
_EVERY_S: Final = 2.0
_LACKS_S: Final = 20.0
"""Who makes records by itself, such as external-dns, has this long before a person is told."""
_NEXT: Final = """next:
  python -m ops open grafana             metrics, alerts, traces: on this machine's loopback, until Ctrl-C
  python -m ops connect --layer business what a service needs to send
  python -m ops verify                   every requirement, on what is seen now"""


def up(
    context: Annotated[
        str, typer.Option("--context", help="Of your kubeconfig: the cluster, which is named in the stack file.")
    ] = "",
    stack: Annotated[str, typer.Option("--stack", help="Stack; default: the selected one.")] = "",
    from_logins: Annotated[
        bool,
        typer.Option("--pull-secrets", help="Make images.pull_secrets from this machine's logins at the registries."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Update without asking.")] = False,
) -> None:
    """Check a stack and its cluster, bring the stack up with the policy pack, and wait until all of it is healthy."""
    began = time.monotonic()
    if context:
        config.set_cluster(context=context, stack=stack)
    settings = _checked(stack, {SECRETS} if from_logins else set())
    contents = _pull_secrets(settings) if from_logins else {}
    with closing(Kube.connect(settings.namespace, context=settings.cluster.context)) as kube:
        if not yes:
            pulumi.preview_shown(stack)
            confirm(yes, "Bring it up?")
        follower = Follower(kube, settings, contents)
        try:
            with follower:
                pulumi.up_shown(stack, preview=yes)
        except OpsError as error:
            raise OpsError(f"{error}{follower.left()}") from None
        if follower.waiting:
            raise OpsError(follower.left().removeprefix("; "))
        _wait_healthy(stack)
        typer.echo(f"{settings.platform} is up after {clock(time.monotonic() - began)}{follower.left()}")
    typer.echo(_NEXT)


def _checked(stack: str, without: Collection[str]) -> Settings:
    """The settings, once nothing is missing and no check of the cluster fails.

    Args:
        stack: Empty is the selected one.
        without: Checks of what this command does itself.

    Raises:
        OpsError: Something has to be set, or the cluster lacks something; the lines before it say what.
    """
    configuration = config.of_stack(stack)
    if problems := config.problems(configuration):
        typer.echo("\n".join(problems), err=True)
        raise OpsError(f"Pulumi.{configuration.stack}.yaml: {len(problems)} to set, see above: nothing was changed")
    settings, _ = read(configuration.stack, configuration.values)
    if settings is None:
        raise OpsError(f"Pulumi.{configuration.stack}.yaml cannot be read: run `ops config check`")
    lines = [line for line in preflight.check(configuration) if line.check not in without]
    for line in lines:
        if line.state is not State.OK:
            typer.echo(f"{line.state:<5} {line.check}: {line.detail}: {line.remedy}", err=True)
    failed = sum(line.state is State.FAIL for line in lines)
    if failed:
        raise OpsError(f"the cluster lacks {failed} of {len(lines)}, see above: nothing was changed")
    typer.echo(f"Pulumi.{configuration.stack}.yaml and its cluster: {len(lines)} checks, none fails")
    return settings


def _pull_secrets(settings: Settings) -> Mapping[str, str]:
    """Pull secret -> what it has to hold."""
    images = settings.images
    if not images.pull_secrets:
        raise OpsError("--pull-secrets: settings.images.pull_secrets names none; name one there, or leave this out")
    hosts = sorted({registry.partition("/")[0] for registry in (images.registry, *images.registries.values())})
    return dict.fromkeys(images.pull_secrets, login_file(hosts))


class Follower:
    """Does beside an update what becomes possible while it runs: pull secrets once there is a namespace, and telling
    records that are missing.

    Args:
        kube: The platform's namespace, which the update makes.
        settings: Of the stack.
        contents: Pull secret -> what it has to hold.

    Attributes:
        waiting: Pull secrets that are still to be made.
    """

    def __init__(self, kube: Kube, settings: Settings, contents: Mapping[str, str]) -> None:
        self._kube, self._hosts = kube, own_names(settings)
        self.waiting = dict(contents)
        self._problem = ""
        self._since: dict[Record, float] = {}
        self._told: set[Record] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="up-follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.look(time.monotonic())

    def _run(self) -> None:
        while not self._ending.wait(_EVERY_S):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Look once.

        Args:
            now: Time of a clock that is not set, in seconds.
        """
        try:
            for name in tuple(self.waiting):
                if apply_pull_secret(self._kube, name, self.waiting[name]):
                    del self.waiting[name]
            missing = missing_records(self._hosts, self._kube.balancers(), resolved)
        except OpsError as error:
            self._problem = one_line(error)
            return
        self._problem = ""
        self._since = {record: self._since.get(record, now) for record in missing}
        for record, since in self._since.items():
            if record not in self._told and now - since >= _LACKS_S:
                self._told.add(record)
                typer.echo(f"DNS record to make: {record}", err=True)

    def left(self) -> str:
        """The end of a message: what was not done, and what somebody has to do; as of the last look."""
        parts = [self._problem] if self._problem else []
        parts += [
            f"the Secret {name} was not made: there is no namespace" for name in self.waiting if not self._problem
        ]
        if self._since:
            parts.append(f"DNS records to make: {', '.join(map(str, self._since))}")
        return "".join(f"; {part}" for part in parts)


def _wait_healthy(stack: str) -> None:
    """Wait until every workload is ready and servers answer; what is waited for is told as it changes.

    Raises:
        OpsError: Something is not healthy in time.
    """
    platform = platform_module.load(stack=stack)
    deadline, told = time.monotonic() + HEALTHY_S, ""
    with Context(platform, Kube.of(platform)) as context:
        while True:
            bad = [f"{line.name} ({line.detail})" for line in health.check(context) if not line.healthy]
            if not bad:
                return
            state = ", ".join(bad)
            if time.monotonic() > deadline:
                raise OpsError(f"not healthy after {clock(HEALTHY_S)}: {one_line(state)}: `ops health` shows it again")
            if state != told:
                told = state
                typer.echo(f"waiting for {one_line(state)}", err=True)
            time.sleep(_EVERY_S)
