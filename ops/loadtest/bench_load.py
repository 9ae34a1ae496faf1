"""Runs the load generator ``obs-loadgen``, reads its result, and what the load costs beyond the idle platform.

CPU time of the platform's workloads is as the nodes see it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client.exceptions import ApiException
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError

from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import wait_until
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


_NODE, _CONTAINER = "node_cpu_usage_seconds", "container_cpu_usage_seconds"
_SECONDS = 15
_SETTLE_SECONDS = 25.0


@dataclass(frozen=True)
class NodeUsage:
    """What the nodes have used so far.

    Attributes:
        cores: Cores of all nodes.
        total: CPU seconds of all nodes, whoever used them.
        of_pod: CPU seconds of the platform's pods, by name.
        workloads: Pod name -> workload.
        at: When each value was taken, seconds since 1970; the nodes measure every few seconds.
    """

    cores: float
    total: float
    of_pod: Mapping[str, float]
    workloads: Mapping[str, str]
    at: Mapping[str, float] = field(default_factory=dict)

    def busy(self, before: NodeUsage) -> float:
        """Cores that were busy since ``before``."""
        return (self.total - before.total) / _elapsed(self.at, before.at, _NODE)

    def by_workload(self, before: NodeUsage) -> dict[str, float]:
        """Cores that each workload used since ``before``; pods that are younger are left out, as is a restart."""
        cores_by_workload: dict[str, float] = {}
        for pod, seconds in self.of_pod.items():
            if pod in before.of_pod:
                name = self.workloads[pod]
                cores = max(0.0, seconds - before.of_pod[pod]) / _elapsed(self.at, before.at, pod)
                cores_by_workload[name] = cores_by_workload.get(name, 0.0) + cores
        return cores_by_workload

    @property
    def oldest(self) -> float:
        """When the oldest of its values was taken, seconds since 1970."""
        return min(self.at.values(), default=0.0)


@dataclass(frozen=True)
class Cost:
    """What a load cost.

    Attributes:
        seconds: CPU seconds by workload, those of the idle platform subtracted.
        busy: Cores that were busy on all nodes meanwhile, whoever used them.
        pods: Cores that the platform's pods used, the idle platform's included.
        cores: Cores of all nodes.
    """

    seconds: Mapping[str, float]
    busy: float
    pods: float
    cores: float

    def per_million(self, items: int, workloads: Sequence[str]) -> dict[str, float]:
        """CPU seconds per million items: of each workload that they pass, of these together, and of the others.

        The others' is what the idle platform used more or less meanwhile: it belongs to no item, and may be negative.
        """
        if not items:
            return {}
        seconds = {name: self.seconds.get(name, 0.0) for name in workloads}
        seconds["other workloads"] = sum(value for name, value in self.seconds.items() if name not in workloads)
        seconds["all"] = sum(seconds[name] for name in workloads)
        return {name: round(value / items * 1e6, 1) for name, value in seconds.items()}


def cost(before: NodeUsage, after: NodeUsage, idle: Mapping[str, float]) -> Cost:
    """What happened between two readings, beyond what the idle platform uses.

    Args:
        before: Reading from before the load.
        after: Reading from after it.
        idle: Cores by workload when nothing is sent.
    """
    seconds: dict[str, float] = {}
    for pod, used in after.of_pod.items():
        # A container that was restarted counts from zero again, a pod that is younger has nothing before.
        since = before.of_pod.get(pod, 0.0)
        name = after.workloads[pod]
        seconds[name] = seconds.get(name, 0.0) + (used - since if used >= since else used)
    whole = _elapsed(after.at, before.at, _NODE)
    elapsed = dict.fromkeys(seconds, whole)
    for pod in after.of_pod.keys() & before.of_pod.keys():
        elapsed[after.workloads[pod]] = _elapsed(after.at, before.at, pod)
    beyond = {name: used - idle.get(name, 0.0) * elapsed[name] for name, used in seconds.items()}
    return Cost(beyond, after.busy(before), sum(after.by_workload(before).values()), after.cores)


def settled(context: Context, since: float, seconds: float = _SETTLE_SECONDS) -> NodeUsage:
    """A reading whose values are all from after ``since`` (seconds since 1970): nodes measure every 10 s or so.

    After ``seconds`` the newest reading is taken as it is.
    """
    deadline = time.monotonic() + seconds
    while True:
        usage = of_nodes(context)
        if usage.oldest >= since or time.monotonic() >= deadline:
            return usage
        time.sleep(2.0)


def of_nodes(context: Context) -> NodeUsage:
    """Ask every node's kubelet, through the API server.

    Raises:
        OpsError: The API server does not let the user ask, or a node does not answer.
    """
    core = context.kube.core
    workloads = {pod.name: pod.workload for pod in context.kube.pods()}
    cores = total = 0.0
    of_pod: dict[str, float] = {}
    at: dict[str, float] = {}
    try:
        for node in core.list_node(_request_timeout=_SECONDS).items:
            cores += _quantity(node.status.capacity["cpu"])
            text = core.connect_get_node_proxy_with_path(
                node.metadata.name, "metrics/resource", _request_timeout=_SECONDS
            )
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    pod = sample.labels.get("pod", "")
                    moment = float(sample.timestamp or time.time())
                    if family.name == _NODE:
                        total += sample.value
                        at[_NODE] = max(at.get(_NODE, 0.0), moment)
                    elif (
                        family.name == _CONTAINER
                        and pod in workloads
                        and sample.labels.get("namespace") == context.kube.namespace
                    ):
                        of_pod[pod] = of_pod.get(pod, 0.0) + sample.value
                        at[pod] = max(at.get(pod, 0.0), moment)
    except ApiException as error:
        raise OpsError(f"the nodes do not tell their CPU times: HTTP {error.status} {one_line(error.reason)}") from None
    except (HTTPError, ValueError) as error:
        raise OpsError(f"the nodes do not tell their CPU times: {one_line(error)}") from None
    return NodeUsage(cores, total, of_pod, workloads, at)


def bytes_in_kafka(context: Context, signal: Signal) -> float:
    """Bytes that a signal's topic takes in one copy now, by the brokers' next scrape."""
    topic = TOPIC_OF_SIGNAL[signal]
    sizes, since = f'kafka_log_size_bytes{{topic="{topic}"}}', time.time()
    wait_until(
        lambda: (context.thanos.number(f"min(timestamp({sizes}))") or 0.0) > since,
        _SETTLE_SECONDS,
        f"the size of {topic} by a new scrape",
    )
    return (context.thanos.number(f"sum({sizes})") or 0.0) / max(context.kafka.topics()[topic].replicas)


def _elapsed(now: Mapping[str, float], before: Mapping[str, float], key: str) -> float:
    return max(now.get(key, 0.0) - before.get(key, 0.0), 1.0)


def _quantity(text: str) -> float:
    """Cores of ``4`` or ``3920m``."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
