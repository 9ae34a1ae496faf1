"""Runs the load generator ``obs-loadgen`` and reads its result."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.loadtest.bench_requests import Batch

PROGRAM = "obs-loadgen"
TIMEOUT_S = 10.0
"""For one request."""
LATE_S = 2.0
"""A batch that is later than this is left out and counted: the load stays that of its rate."""
_END_S = 10.0
_TAIL = 20

Sent = Callable[[float, int, int], None]
"""Told every two seconds: seconds since the load began, items sent, items acknowledged."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the load goes.

    Attributes:
        url: Scheme, host and port of OTLP over HTTP.
        authority: PEM of the certificates to trust; empty without TLS.
        passwords: User -> password; a user without one sends no login.
    """

    url: str
    authority: str
    passwords: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much, for how long, by how many clients.

    Attributes:
        rate: Items per second.
        seconds: Length.
        clients: Connections.
        in_flight: Requests of one client at the same time.
    """

    rate: float
    seconds: float
    clients: int
    in_flight: int = 1


@dataclass(frozen=True)
class LoadResult:
    """What became of a load; counts are items unless they say requests.

    Attributes:
        values: The generator's result.
    """

    values: Mapping[str, Any]

    @property
    def acknowledged(self) -> int:
        """Items that the server took."""
        return int(self.values["acknowledged_items"])

    @property
    def offered(self) -> int:
        """Items that were due."""
        return int(self.values["offered_items"])

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return float(self.values["seconds"])

    @property
    def unanswered(self) -> int:
        """Requests without an answer: whether the server took them is unknown."""
        return int(self.values["requests_timed_out"]) + int(self.values["requests_failed"])

    def latency_s(self, name: str) -> float:
        """A quantile of the time from when a request was due to its answer; endless where there was none."""
        return float(self.values["latency_ms"].get(name, float("inf"))) / 1000

    def figures(self) -> dict[str, Any]:
        """What went wrong, and how long answers took."""
        figures: dict[str, Any] = {
            f"latency {name} ms": round(value, 1) for name, value in sorted(self.values["latency_ms"].items())
        }
        figures["requests refused, by status"] = dict(self.values["refused_requests_by_status"])
        figures["requests without an answer in time"] = self.values["requests_timed_out"]
        figures["requests failed otherwise"] = self.values["requests_failed"]
        figures["not sent in time"] = self.values["not_sent_items"]
        figures["rejected in part"] = self.values["rejected_items"]
        if self.values.get("last_error"):
            figures["last error"] = one_line(self.values["last_error"])
        return figures


def plan(target: Target, batch: Batch, load: Load) -> dict[str, Any]:
    """What the generator reads from its standard input; it has the passwords."""
    lanes = load.clients * load.in_flight
    return {
        "url": target.url,
        "authority": target.authority,
        "clients": load.clients,
        "in_flight": load.in_flight,
        "rate": load.rate,
        "seconds": load.seconds,
        "timeout_seconds": TIMEOUT_S,
        "late_seconds": LATE_S,
        "devices": batch.devices * max(lanes, -(-_FEWEST_DEVICES // batch.devices)) if batch.devices else 0,
        "first_sequence": 1,
        "groups": batch.groups,
        "parts": [
            {
                **request.as_json(batch.signal, target.passwords.get(request.user, "")),
                **({} if request.user in target.passwords else {"user": ""}),
            }
            for request in batch.requests
        ],
    }


_FEWEST_DEVICES = 400


def devices(batch: Batch, load: Load) -> int:
    """Devices that take turns in a load."""
    return int(plan(Target(url="", authority="", passwords={}), batch, load)["devices"])


def run(target: Target, batch: Batch, load: Load, sent: Sent = lambda *_: None) -> LoadResult:
    """Send the load and wait for its end, which the generator sees to by itself.

    Raises:
        OpsError: There is no generator, or it cannot reach the target.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise OpsError(
            f"`{PROGRAM}` is not on PATH: `make tools` builds it, then run through `python -m lab exec --`; "
            f"or `go build -o {PROGRAM} .` in collector/loadgen"
        )
    limit = load.seconds + LATE_S + TIMEOUT_S * len(batch.requests) + _END_S
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=_read, args=(process, said, sent), daemon=True)
        reader.start()
        try:
            answer = _exchange(process, json.dumps(plan(target, batch, load)), limit)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            reader.join(_END_S)
    if process.returncode != 0:
        raise OpsError(f"the load generator: {one_line(said[-1] if said else f'exit code {process.returncode}')}")
    try:
        return LoadResult(json.loads(answer))
    except json.JSONDecodeError:
        raise OpsError("the load generator did not print its result") from None


def _exchange(process: subprocess.Popen[str], text: str, limit: float) -> str:
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        if process.stdin is None or process.stdout is None:
            raise OpsError("the load generator has no input")
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            pass  # It ended early, and says why on its standard error.
        answer = process.stdout.read()
    finally:
        timer.cancel()
    process.wait()
    return answer


def _read(process: subprocess.Popen[str], said: list[str], sent: Sent) -> None:
    for line in process.stderr or ():
        try:
            values = json.loads(line)
            sent(float(values["elapsed"]), int(values["sent"]), int(values["acknowledged"]))
        except (ValueError, KeyError, TypeError):
            said.append(line.strip())
            del said[:-_TAIL]
