"""Two regions as a drill sees them: the name that leads to one of them, commands under way, first notifications, sizes
of workloads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.alerting.escalation import LEVELS
from components.rules import Severity
from ops.core import platform as platform_module
from ops.core.access import Dns, RegionsAccess
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, workloads
from ops.core.otlp import OtlpClient
from ops.core.platform import PROJECT, Platform
from ops.core.web import Web
from ops.drills.procedure import CannotRunError
from ops.drills.tools.notifications import FIRING, Notification, Raised, status
from ops.regions import dns

ESCALATED = LEVELS[Severity.CRITICAL]
"""Who is notified of what nobody has taken for five minutes: that is another notification than the first one."""
COMMAND_S = 4200.0
"""A failback has three `pulumi up`, slow ones where two regions share two cores."""

_PODS = "pods"

Sizes = dict[str, dict[str, str]]
"""Workload -> its number of pods, and what each of its containers asks for and may use at most."""

_N = TypeVar("_N", bound=Notification)


@dataclass
class Side:
    """One region.

    Attributes:
        context: Its clients.
        access: Its output `regions`.
        stack: Full name of its stack; empty for the selected one.
    """

    context: Context
    access: RegionsAccess
    stack: str = ""

    @property
    def name(self) -> str:
        """Name of the region."""
        return self.access.region

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.context.platform.namespace

    @property
    def gateway(self) -> str:
        """Where its gateway is reached."""
        return self.access.targets["otlp"]


@contextmanager
def both(context: Context) -> Iterator[tuple[Side, Side]]:
    """The region of the selected stack, and the other one; both must be up.

    Raises:
        CannotRunError: The platform has no other region, or that one does not answer.
    """
    access = context.platform.regions
    if access is None or access.peer is None:
        raise CannotRunError("the stack has no other region: name it in the stack file, regions.peer")
    stack = access.peer.stack
    try:
        platform = platform_module.load(stack=stack)
        kube = Kube.of(platform)
    except OpsError as error:
        raise CannotRunError(f"the other region, {access.peer.region}, cannot be reached: {error}") from error
    with Context(platform, kube) as other:
        if platform.regions is None:
            raise CannotRunError(
                f"stack {stack} has no output `regions`: run `pulumi up --policy-pack policy` with this version there"
            )
        yield Side(context, access), Side(other, platform.regions, stack)


class Name:
    """The name of the gateway, as a client sees it that keeps an answer for as long as it may.

    Args:
        access: Names in Route 53.
        what: Which of them.
    """

    def __init__(self, access: Dns, what: str = "otlp") -> None:
        self._name, self._ttl_s = access.names[what], access.ttl_s
        self._closing = ExitStack()
        self._zone = self._closing.enter_context(dns.zone(access))
        self._lock = threading.Lock()
        self._answer, self._until = "", 0.0

    def host(self) -> str:
        """Where it leads; the last answer while nobody answers.

        Raises:
            OpsError: Nobody has ever said where.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    answer = self._zone.answer(self._name)
                except OpsError:
                    answer = None
                if answer is not None:
                    self._answer = answer.values[0].rstrip(".")
                self._until = time.monotonic() + self._ttl_s
            if not self._answer:
                raise OpsError(f"{self._name} leads nowhere")
            return self._answer

    def close(self) -> None:
        """Close the connection."""
        self._closing.close()


class Gateway:
    """The gateway that the name leads to; the layers' passwords are good in both regions.

    Args:
        name: The name.
        platform: Outputs of either region.
        web: Session that trusts both regions' authorities.
    """

    def __init__(self, name: Name, platform: Platform, web: Web) -> None:
        self._name, self._platform, self._web = name, platform, web
        self._port = platform.otlp_http.rpartition(":")[2]
        self._clients: dict[str, OtlpClient] = {}

    def metrics(self, request: ExportMetricsServiceRequest, layer: str) -> tuple[int, int]:
        """As `OtlpClient.metrics`."""
        return self.at(self._name.host()).metrics(request, layer)

    def at(self, host: str) -> OtlpClient:
        """The client of one region's gateway."""
        if host not in self._clients:
            url = f"https://{host}:{self._port}"
            self._clients[host] = OtlpClient(self._platform.model_copy(update={"otlp_http": url}), self._web)
        return self._clients[host]

    def logs(self, layer: str) -> Callable[[Web, bytes], int]:
        """A door for numbered log records."""

        def post(web: Web, body: bytes) -> int:
            client = Gateway(self._name, self._platform, web).at(self._name.host())
            return client.post("logs", body, client.login(layer))[0]

        return post


def both_authorities(folder: Path, *sides: Side) -> str:
    """A file with the authorities of several regions."""
    file = folder / "authorities.pem"
    file.write_text("\n".join(side.context.platform.ca_certificate for side in sides))
    return str(file)


@dataclass
class Command:
    """A command of `ops` under way in another process, as an operator gives it in a region's stack.

    Attributes:
        stack: Full name of the stack.
        words: The command.
        variables: What its environment has beside that of the drill.
        began: When, seconds since 1970.
        ended: When it ended.
    """

    stack: str
    words: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    ended: float | None = None
    _process: subprocess.Popen[str] | None = None
    _said: tuple[str, str] = ("", "")
    _thread: threading.Thread | None = None

    def start(self) -> Command:
        """Begin."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops", *self.words],
            cwd=PROJECT,
            env={**os.environ, "PULUMI_STACK": self.stack, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.ended is None

    @property
    def failed(self) -> bool:
        """Whether it has ended, and not well."""
        return not self.running and self._process is not None and self._process.returncode != 0

    def result(self, seconds: float = COMMAND_S) -> dict[str, Any]:
        """What it printed as JSON, once it has ended well.

        Raises:
            OpsError: It was never started, failed, did not end in time, or printed no JSON.
        """
        shown = f"`ops {' '.join(self.words)}`"
        if self._thread is None or self._process is None:
            raise OpsError(f"{shown} was not started")
        self._thread.join(seconds)
        if self.running:
            self.stop()
            raise OpsError(f"{shown} did not end within {seconds:.0f} s: {_last(self._said[1])}")
        out, said = self._said
        if self._process.returncode != 0:
            raise OpsError(f"{shown} failed ({self._process.returncode}): {_last(said)}")
        try:
            document: dict[str, Any] = json.loads(out)
        except ValueError:
            raise OpsError(f"{shown} printed no JSON: {_last(out)}") from None
        return document

    def stop(self) -> None:
        """End it, if it runs, as Ctrl-C does: repeated, it goes on where it was."""
        if self.running and self._process is not None and self._thread is not None:
            self._process.send_signal(signal.SIGINT)
            self._thread.join(60)
            self._process.kill()
            self._thread.join(10)

    def seconds(self) -> float:
        """How long it took."""
        return round((self.ended or time.time()) - self.began, 1)

    def _wait(self) -> None:
        if self._process is not None:
            self._said = self._process.communicate()
            self.ended = time.time()


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "it said nothing"


def mentions(notifications: Iterable[_N], raised: Raised) -> list[_N]:
    """First notifications that a condition is true, by its channel; what was escalated is another notification."""
    return [
        notification
        for notification in raised.notifications(notifications)
        if status(notification) == FIRING and notification.audience != ESCALATED
    ]


def sizes(kube: Kube) -> Sizes:
    """Sizes that a region's StatefulSets, Deployments and DaemonSets are to have now.

    Raises:
        OpsError: Kubernetes does not answer.
    """
    return {
        item.metadata.name: {_PODS: str(_pods(item)), **_resources(item.spec.template.spec.containers)}
        for _, item in workloads(kube)
    }


def _pods(item: Any) -> int:
    """Pods that a workload is to have: of a DaemonSet one on each node that may have one."""
    wanted = getattr(item.spec, "replicas", None)
    return int(item.status.desired_number_scheduled if wanted is None else wanted)


def _resources(containers: Iterable[Any]) -> dict[str, str]:
    return {
        f"{container.name} {resource} {kind}": str(amount)
        for container in containers
        if container.resources
        for kind, amounts in (("request", container.resources.requests), ("limit", container.resources.limits))
        for resource, amount in sorted((amounts or {}).items())
    }


def resized(before: Sizes, after: Sizes) -> dict[str, str]:
    """Workload -> what of its size has changed, from what to what; one that came or went has had, or has, no pods."""
    none = {_PODS: "0"}
    changes: dict[str, str] = {}
    for name in sorted(before.keys() | after.keys()):
        was, is_now = before.get(name, none), after.get(name, none)
        # Of a workload that came or went the number of pods says all.
        parts = dict.fromkeys([*was, *is_now]) if name in before and name in after else none
        changed = [
            f"{part} {was.get(part, 'none')} to {is_now.get(part, 'none')}"
            for part in parts
            if was.get(part) != is_now.get(part)
        ]
        if changed:
            changes[name] = ", ".join(changed)
    return changes
