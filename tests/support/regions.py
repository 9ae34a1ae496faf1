"""For the region drill: load that follows a DNS name, a consumer group that moves, commands, notifications."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from lab.cluster import disruptions
from lab.cluster.controllers import Cluster
from lab.fakes.receivers.record import FIRING, Notification, status
from lab.paths import LabPaths
from ops.core import platform as platform_module
from ops.core.access import Dns, RegionsAccess
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.otlp import OtlpClient
from ops.core.platform import PROJECT, Platform
from ops.core.web import Web
from ops.drills.tools.conditions import Raised
from ops.regions import dns

ESCALATED = "senior-manager"
"""Who is notified of what nobody has taken for five minutes: that is another notification than the first one."""
CUT_S, COMMAND_S = 120, 4200
"""A failback has three `pulumi up`, of up to 15 minutes and more each where two regions share two cores."""


@dataclass
class Side:
    """One region of the lab.

    Attributes:
        stack: Its stack.
        context: Its clients.
        access: Its output `regions`.
    """

    stack: str
    context: Context
    access: RegionsAccess

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
def sides(*stacks: str) -> Iterator[tuple[Side, ...]]:
    """Regions by their stacks; both must be up."""
    with ExitStack() as closing:
        side_list = []
        for stack in stacks:
            platform = platform_module.load(stack=stack)
            assert platform.regions is not None, f"stack {stack} has no output `regions`"
            context = closing.enter_context(Context(platform, Kube.of(platform)))
            side_list.append(Side(stack=stack, context=context, access=platform.regions))
        yield tuple(side_list)


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
        """Where it leads; the last answer while nobody answers."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    answer = self._zone.answer(self._name)
                except OpsError:
                    answer = None
                if answer is not None:
                    self._answer = answer.values[0].rstrip(".")
                self._until = time.monotonic() + self._ttl_s
            assert self._answer, f"{self._name} leads nowhere"
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


def lab(*words: str) -> str:
    """Give a command of the lab; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "lab", *words], cwd=PROJECT, capture_output=True, text=True, timeout=CUT_S, check=False
    )
    assert done.returncode == 0, f"lab {' '.join(words)}: {(done.stdout + done.stderr)[-1500:]}"
    return done.stdout.strip()


@contextmanager
def partition(namespace: str) -> Iterator[str]:
    """A region gone without warning inside the block, however the block ends; how it was done.

    Done here and not by a command, which takes its time to start on a busy machine: nothing may be told meanwhile.
    """
    paths = LabPaths.of_checkout()
    try:
        parts = disruptions.partition(paths, Cluster(paths.state / "pki"), namespace, freeze=True)
        yield f"{namespace} partitioned: {len(parts.pods)} pods, {len(parts.service_addresses)} Service IPs"
    finally:
        lab("reconnect", namespace)


@dataclass
class Command:
    """A command of `ops` under way in another process, as an operator gives it in a region's stack.

    Attributes:
        stack: The selected stack.
        words: The command.
        began: When, seconds since 1970.
        ended: When it ended.
    """

    stack: str
    words: Sequence[str]
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
            env={**os.environ, "PULUMI_STACK": self.stack},
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

    def result(self, seconds: float = COMMAND_S) -> dict[str, Any]:
        """What it printed as JSON, once it has ended well."""
        assert self._thread is not None
        assert self._process is not None
        self._thread.join(seconds)
        if self.running:
            self.stop()
            raise AssertionError(
                f"ops {' '.join(self.words)} did not end within {seconds:.0f} s: {self._said[1][-1500:]}"
            )
        out, said = self._said
        assert self._process.returncode == 0, f"ops {' '.join(self.words)}: {self._process.returncode}: {said[-2500:]}"
        document: dict[str, Any] = json.loads(out)
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
        assert self._process is not None
        self._said = self._process.communicate()
        self.ended = time.time()


def mentions(
    notifications: Sequence[Notification], raised: Raised, people: Callable[[Notification], frozenset[str]]
) -> list[Notification]:
    """First notifications that a condition is true, by its channel; what was escalated is another notification."""
    return [
        notification
        for notification in raised.notifications(notifications)
        if status(notification) == FIRING and ESCALATED not in people(notification)
    ]
