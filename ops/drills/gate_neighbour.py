"""A well-behaved client beside an attack: one request every 100 ms, in a process of its own.

``python -m ops.drills.gate_neighbour`` reads `Settings` as one line of JSON, sends until its input ends, and prints
what came of each request as a line. So no password stands in a command line, and it ends with whoever started it.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SecretStr

from ops.core import otlp
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT
from ops.dashboards.panel_queries import quantile
from ops.drills import gate_target
from ops.drills.gate_target import Target

EVERY_S: Final = 0.1
ACCEPTED: Final = "200"
UNSENT: Final = "not sent"
"""Answer of a request whose turn did not come before the end, since so many others still waited for theirs."""
_LONGEST_S: Final = 3600.0
_WORKERS: Final = 16
_CONNECTION_S: Final = 20.0
"""How long a connection is used, so that the way in is tried again and again."""
_START_S, _END_S = 120.0, 120.0


class Settings(BaseModel):
    """Whom it sends to, and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str
    port: int
    authority: str
    layer: str
    user: str
    password: SecretStr

    def target(self) -> Target:
        """The gateway."""
        at = (self.host, self.port)
        login = (self.user, self.password.get_secret_value())
        return Target(http=at, grpc=at, authority=self.authority, logins={self.layer: login})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request.

    Attributes:
        at: When it was due, seconds of the machine's steady clock.
        seconds: Until it was answered.
        answer: Status code, or how the connection ended.
    """

    at: float
    seconds: float
    answer: str


@dataclass(frozen=True, kw_only=True)
class Service:
    """How a span of requests went.

    Attributes:
        requests: How many were due.
        failures: Those that were not accepted at the first attempt, by answer.
        p95_s, worst_s: Seconds until the answer; 0 where there was no request.
    """

    requests: int
    failures: dict[str, int]
    p95_s: float
    worst_s: float

    @property
    def failed(self) -> int:
        """How many were not accepted."""
        return sum(self.failures.values())


def service(samples: Iterable[Sample], begin: float = float("-inf"), end: float = float("inf")) -> Service:
    """How the requests went that were due between two moments."""
    span = [sample for sample in samples if begin <= sample.at < end]
    times = sorted(sample.seconds for sample in span)
    return Service(
        requests=len(span),
        failures=dict(Counter(sample.answer for sample in span if sample.answer != ACCEPTED)),
        p95_s=round(quantile(times, 0.95), 3) if times else 0.0,
        worst_s=round(times[-1], 3) if times else 0.0,
    )


class Neighbour:
    """Sends from the moment it is entered until it is left.

    Args:
        target: The gateway.
        layer: As whom.

    Raises:
        OpsError: It did not begin, or broke off.
    """

    def __init__(self, target: Target, layer: str) -> None:
        user, password = target.logins[layer]
        self._settings = {
            "host": target.http[0],
            "port": target.http[1],
            "authority": target.authority,
            "layer": layer,
            "user": user,
            "password": password,
        }
        self._samples: list[Sample] = []
        self._began = threading.Event()

    @property
    def samples(self) -> Sequence[Sample]:
        """What came of the requests so far."""
        return tuple(self._samples)

    def __enter__(self) -> Neighbour:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ops.drills.gate_neighbour"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if self._process.stdin is None:
            raise OpsError("the client beside the attacks has no input")
        self._process.stdin.write(json.dumps(self._settings) + "\n")
        self._process.stdin.flush()
        if not self._began.wait(_START_S) or self._process.poll() is not None:
            self.__exit__(None, None, None)
            raise OpsError(f"the client beside the attacks did not begin in {_START_S:.0f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if kind is None and self._process.returncode:
            raise OpsError(f"the client beside the attacks broke off with code {self._process.returncode}")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._samples.append(Sample(**json.loads(line)))
            self._began.set()
        self._began.set()


class _Worker(threading.local):
    """Connection of one thread."""

    connection: ssl.SSLSocket | None = None
    since: float = 0.0


class _Client:
    def __init__(self, settings: Settings) -> None:
        self._settings, self._target = settings, settings.target()
        self._worker = _Worker()
        self._print = threading.Lock()

    def send(self, due: float) -> None:
        """Send one request, on a kept connection where there is a young one, and print what came of it."""
        self.note(due, self._sent())

    def note(self, due: float, answer: str) -> None:
        """Print what came of a request that was due at a moment."""
        sample = {"at": due, "seconds": round(time.monotonic() - due, 4), "answer": answer}
        with self._print:
            sys.stdout.write(json.dumps(sample) + "\n")
            sys.stdout.flush()

    def _sent(self) -> str:
        layer = self._settings.layer
        resource = otlp.resource_of(layer, "e2e", "gate-neighbour")
        body = otlp.gauge(resource, "obs_verify_probe", [(time.time_ns(), 1.0, {})]).SerializeToString()
        now = time.monotonic()
        try:
            if self._worker.connection is None or now - self._worker.since > _CONNECTION_S:
                self._close()
                self._worker.connection = gate_target.connect(self._target, self._target.http)
                self._worker.since = now
            answer, _ = gate_target.post(
                self._target,
                "/v1/metrics",
                body,
                authorization=self._target.header(layer),
                connection=self._worker.connection,
            )
        except OSError as error:
            self._close()
            return f"not connected: {one_line(error, 60)}"
        if answer != ACCEPTED:
            self._close()
        return answer

    def _close(self) -> None:
        if self._worker.connection is not None:
            self._worker.connection.close()
            self._worker.connection = None


def _main() -> None:
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    client = _Client(Settings.model_validate(given))
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    due = start = time.monotonic()
    sent: list[Future[None]] = []
    with ThreadPoolExecutor(_WORKERS) as workers:
        while not ended.is_set() and due - start < _LONGEST_S:
            sent.append(workers.submit(client.send, due))
            due += EVERY_S
            ended.wait(max(0.0, due - time.monotonic()))
        workers.shutdown(cancel_futures=True)
    for number, request in enumerate(sent):
        if request.cancelled():
            client.note(start + number * EVERY_S, UNSENT)
        else:
            request.result()


if __name__ == "__main__":
    _main()
