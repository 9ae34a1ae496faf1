"""Loads with sequence numbers: OTLP through the gateway as a real client sends it, a direct Kafka producer, and log
records to the gateway or to the agent of a node.
"""

from __future__ import annotations

import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from confluent_kafka import Producer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from components.agent import HTTP_PORT as AGENT_PORT
from components.agent import WORKLOAD as AGENT
from components.telemetry.layers import STREAMING
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import client_settings
from ops.core.otlp import OtlpClient
from ops.core.platform import Login
from ops.core.terminal import say
from ops.core.web import Query, Web
from ops.drills.tools import durations
from ops.drills.tools.accounts import Ledger, Number
from ops.drills.tools.search_client import SearchClient

METRIC = "obs_e2e_sequence"
TOPIC = "telemetry-metrics"
LAYER = "device"
_ENDS_S = 180.0
Send = Callable[[], tuple[int, int]]
"""Sends something once: status code of the answer, and how much of it was rejected. No answer is an `OpsError`."""


class Load(ABC):
    """Threads that run until the load is stopped.

    Args:
        workers: How many.
        give_up_after: Seconds for which something that is not taken is sent again.
        longest_wait: Longest pause between two attempts, in seconds.
    """

    given_up_at_stop = False
    """Whether what is under way when the load is stopped is given up, and not sent again for the rest of its time."""

    def __init__(self, workers: int, *, give_up_after: float = 90.0, longest_wait: float = 2.0) -> None:
        self.run_id = secrets.token_hex(4)
        self.ledger = Ledger()
        self._give_up_after, self._longest_wait = give_up_after, longest_wait
        self._stopping = threading.Event()
        self._stopped_at: float | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"load-{worker}") for worker in range(workers)
        ]

    @abstractmethod
    def _work(self, worker: int) -> None:
        """Send until the load is stopped."""

    def __enter__(self) -> Any:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Somebody may wait for what was taken away.
        self.given_up_at_stop |= error is not None
        self.stop()

    def stop(self) -> None:
        """Send nothing new, wait for what is under way.

        Raises:
            OpsError: A worker does not end.
        """
        self._stopping.set()
        for thread in self._threads:
            thread.join(_ENDS_S)
            if thread.is_alive():
                raise OpsError(f"{thread.name} did not end within {_ENDS_S:.0f} s")
        self._stopped_at = self._stopped_at or time.time()

    def longest_pause(self, since: float) -> float:
        """Longest time without an acknowledgement, in seconds, until the load was stopped.

        Args:
            since: Unix time.
        """
        return round(self.ledger.longest_gap(since, self._stopped_at or time.time()), 1)

    def run_for(self, seconds: float) -> None:
        """Let it run.

        Raises:
            OpsError: All workers died.
        """
        say(f"load for {seconds:.0f} s")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not any(thread.is_alive() for thread in self._threads):
                raise OpsError("every worker of the load has ended")
            time.sleep(0.2)

    def _taken(self, send: Send, numbers: Iterable[Number] = ()) -> bool:
        """Send something again, unchanged, until it is taken; whether it was within its time.

        Args:
            send: Sends it once; status code of the answer, and how much of it was rejected.
            numbers: What is in it.
        """
        deadline, wait = time.monotonic() + self._give_up_after, 0.2
        while time.monotonic() < deadline:
            try:
                status, rejected = send()
            except OpsError:
                self.ledger.retry("no answer", numbers)
            else:
                if status == 200 and not rejected:
                    return True
                self.ledger.retry(f"HTTP {status}", numbers)
            if self.given_up_at_stop and self._stopping.is_set():
                return False
            time.sleep(wait)
            wait = min(wait * 2, self._longest_wait)
        return False


class NumberedLoad(Load):
    """Sequence numbers in batches; a batch that fails is sent again, unchanged, up to a limit.

    Args:
        ca_file: Authority of who is sent to.
        workers: How many send side by side.
        batch: Numbers in a batch.
        pause: Seconds between two batches of a worker.
        options: See `Load`.
    """

    def __init__(self, ca_file: str, *, workers: int, batch: int, pause: float, **options: float) -> None:
        super().__init__(workers, **options)
        self._ca_file, self._batch, self._pause = ca_file, batch, pause

    @abstractmethod
    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        """What sends one batch of one worker once."""

    def doubled(self, counts: Counter[Number]) -> int:
        """Copies too many of numbers that were sent once."""
        return sum(count - 1 for number, count in counts.items() if number not in self.ledger.repeated)

    def _work(self, worker: int) -> None:
        web, next_number = Web(self._ca_file), 0
        try:
            while not self._stopping.is_set():
                numbers = [(worker, next_number + offset) for offset in range(self._batch)]
                next_number += self._batch
                if self._taken(self._sending(web, numbers), numbers):
                    self.ledger.acknowledge(numbers, time.time())
                else:
                    self.ledger.give_up(numbers)
                self._stopping.wait(self._pause)
        finally:
            web.close()


class OtlpLoad(NumberedLoad):
    """Gauges whose values are sequence numbers, through the gateway.

    `ahead_s` is how much the clock of who sends is ahead of the right one, in seconds; where ``clock_changes`` it may
    change at any time. A right clock then has the even milliseconds and a wrong one the odd ones: a series keeps one
    sample of a moment, and the right clock comes to each moment at which a wrong one has been.
    """

    def __init__(
        self,
        context: Context,
        *,
        workers: int = 4,
        batch: int = 25,
        pause: float = 0.25,
        give_up_after: float = 90.0,
        clock_changes: bool = False,
    ) -> None:
        super().__init__(context.ca_file, workers=workers, batch=batch, pause=pause, give_up_after=give_up_after)
        self._context, self._clock_changes = context, clock_changes
        self.ahead_s = self._most_ahead_s = self._most_behind_s = 0.0

    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        client = OtlpClient(self._context.platform, web)
        ahead_s = self.ahead_s
        self._most_ahead_s, self._most_behind_s = max(self._most_ahead_s, ahead_s), max(self._most_behind_s, -ahead_s)
        times = clock_times(time.time() + ahead_s, len(numbers), bool(ahead_s)) if self._clock_changes else None
        request = sequence_request(self.run_id, numbers, times)
        return lambda: client.metrics(request, LAYER)

    def missing(self, context: Context, start: dict[int, int], began: float) -> dict[str, set[Number]]:
        """Acknowledged numbers that a store does not have, by its name: Kafka's topic, and each Prometheus.

        Args:
            context: How the platform is reached now.
            start: Offsets of the topic before the load.
            began: Unix time at which the load began, in seconds.
        """
        kafka = self.ledger.missing(self.in_kafka(start, durations.ARRIVAL, context))
        return {"Kafka": kafka, **self.missing_in_prometheus(context, began)}

    def missing_in_prometheus(self, context: Context, began: float) -> dict[str, set[Number]]:
        """Acknowledged numbers that a Prometheus does not have, by its name; arguments as of `missing`."""
        missing = {}
        for replica in context.platform.prometheus_replicas:
            window = int(time.time() - began + durations.ARRIVAL + 60)
            query = context.replica(replica)
            missing[query.name] = self.ledger.missing(self.in_prometheus(query, window, durations.ARRIVAL))
        return missing

    def in_kafka(self, start: dict[int, int], seconds: float, context: Context | None = None) -> set[Number]:
        """Numbers found in the topic since ``start``; reads on until none is missing or the time is up."""
        return set(self.counts_in_kafka(start, seconds, context))

    def counts_in_kafka(self, start: dict[int, int], seconds: float, context: Context | None = None) -> Counter[Number]:
        """Number -> records of the topic that have it, as `in_kafka` reads them."""
        say(f"counting the points in Kafka, {seconds:.0f} s for those that are late")
        kafka = (context or self._context).kafka
        numbers: Counter[Number] = Counter()
        positions = dict(start)
        deadline = time.monotonic() + seconds
        while True:
            for record in kafka.read(TOPIC, positions, 10.0):
                positions[record.partition()] = record.offset() + 1
                numbers.update(numbers_of(record.value(), self.run_id))
            if not self.ledger.missing(numbers) or time.monotonic() > deadline:
                return numbers
            time.sleep(1.0)

    def in_prometheus(self, query: Query, window: int, seconds: float) -> set[Number]:
        """Numbers found as samples; asks again until none is missing or the time is up."""
        say(f"counting the samples at {query.name}, {seconds:.0f} s for those that are late")
        deadline = time.monotonic() + seconds
        prometheus: set[Number] = set()
        while True:
            try:
                newest = time.time() + self._most_ahead_s
                seconds_back = window + int(self._most_ahead_s + self._most_behind_s)
                for labels, samples in query.raw(f'{METRIC}{{run="{self.run_id}"}}', seconds_back, newest).items():
                    worker = int(dict(labels)["worker"])
                    prometheus |= {(worker, int(value)) for _, value in samples}
            except OpsError:
                if time.monotonic() > deadline:
                    raise
            if not self.ledger.missing(prometheus) or time.monotonic() > deadline:
                return prometheus
            time.sleep(2.0)


def clock_times(newest: float, count: int, wrong: bool) -> list[int]:
    """Times of points up to a Unix time, in milliseconds, all even or, of a wrong clock, all odd."""
    last = int(newest * 500) * 2 + wrong
    return [last - 2 * back for back in reversed(range(count))]


def sequence_request(
    run_id: str, numbers: Sequence[Number], times: Sequence[int] | None = None
) -> ExportMetricsServiceRequest:
    """One batch of one worker: a point per number, each at another millisecond so that Prometheus keeps all as samples.

    Args:
        run_id: Of the load.
        numbers: Of one worker.
        times: Of the points, Unix time in milliseconds; the newest one is now where none are given.
    """
    worker = numbers[0][0]
    device = f"e2e-{worker:02d}"
    labels = {"run": run_id, "worker": str(worker)}
    newest, count = time.time_ns() // 1_000_000, len(numbers)
    points = [
        (moment * 1_000_000, float(number), labels)
        for moment, (_, number) in zip(times or range(newest - count + 1, newest + 1), numbers, strict=True)
    ]
    return otlp.gauge(otlp.resource_of(LAYER, "e2e-load", device, device=device), METRIC, points)


def numbers_of(record: bytes, run_id: str) -> set[Number]:
    """Sequence numbers of a load in one Kafka record."""
    if METRIC.encode() not in record or run_id.encode() not in record:
        return set()
    numbers: set[Number] = set()
    for resource in ExportMetricsServiceRequest.FromString(record).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name != METRIC:
                    continue
                for point in metric.gauge.data_points:
                    labels = {attribute.key: attribute.value.string_value for attribute in point.attributes}
                    if labels.get("run") == run_id:
                        numbers.add((int(labels["worker"]), int(point.as_double)))
    return numbers


class ProducerLoad(Load):
    """A producer with ``acks=all`` straight to a topic of its own; one worker, one number per record.

    A client that tries again reports its own time-out and hides what the broker answered; with ``retries=0`` each
    answer of a broker is reported. `refusals` has those, `timeouts` what the client itself gave up, `latencies` when
    records were acknowledged and how many seconds after they were handed over.
    """

    def __init__(
        self,
        context: Context,
        topic: str,
        *,
        pause: float = 0.02,
        timeout: float = 15.0,
        retries: int | None = None,
        login: Login | None = None,
    ) -> None:
        super().__init__(1)
        self.latencies: list[tuple[float, float]] = []
        self.refusals: Counter[str] = Counter()
        self.timeouts: Counter[str] = Counter()
        self._context, self.topic, self._pause = context, topic, pause
        self._settings = {
            **client_settings(context.platform, login or context.platform.kafka_admin),
            "acks": "all",
            "linger.ms": 5,
            "delivery.timeout.ms": int(timeout * 1000),
            "request.timeout.ms": 5000,
            "retry.backoff.max.ms": 1000,
            **({} if retries is None else {"retries": retries}),
        }

    def _work(self, worker: int) -> None:
        producer = Producer(self._settings)
        number = 0
        while not self._stopping.is_set():
            try:
                producer.produce(
                    self.topic,
                    f"{number}".encode(),
                    key=f"{number % 64}".encode(),
                    on_delivery=self._noted((0, number)),
                )
                number += 1
            except BufferError:
                self.ledger.retry("local queue full")
            producer.poll(0)
            self._stopping.wait(self._pause)
        producer.flush(60)

    def _noted(self, number: Number) -> Callable[[Any, Any], None]:
        handed_over = time.monotonic()

        def note(error: Any, _: Any) -> None:
            if error is None:
                self.ledger.acknowledge([number], now := time.time())
                self.latencies.append((now, time.monotonic() - handed_over))
            else:
                # Codes below zero are the client's own: no broker said so.
                (self.timeouts if error.code() < 0 else self.refusals)[error.name().strip("_")] += 1
                self.ledger.retry(error.name().strip("_"))
                self.ledger.give_up([number])

        return note

    def in_kafka(self, seconds: float) -> set[Number]:
        """Numbers in the topic; reads again until none is missing or the time is up."""
        say(f"counting the records of {self.topic}, {seconds:.0f} s for those that are late")
        deadline = time.monotonic() + seconds
        while True:
            numbers = {(0, int(record.value())) for record in self._context.kafka.read(self.topic, {}, 10.0)}
            if not self.ledger.missing(numbers) or time.monotonic() > deadline:
                return numbers
            time.sleep(1.0)


LOG_LAYER = STREAMING.name
SENDER, SEQUENCE = "e2e.sender", "e2e.sequence"
GIVE_UP_S = 120.0
Door = Callable[[Web, bytes], int]
"""Takes a session and a request of logs; the status code of the answer."""


def gateway(context: Context) -> Door:
    """Sends logs to the gateway's load balancer."""
    return lambda web, body: otlp.OtlpClient(context.platform, web).post("logs", body, context.otlp.login(LOG_LAYER))[0]


def agent(context: Context) -> Door:
    """Sends logs to the node agent."""

    def send(web: Web, body: bytes) -> int:
        pod = context.kube.ready_pod(AGENT).name
        url = f"{context.tunnels.url(pod, AGENT_PORT)}/v1/logs"
        headers = {"Content-Type": "application/x-protobuf"}
        try:
            with web.call("POST", url, auth=context.otlp.login(LOG_LAYER), data=body, headers=headers) as response:
                return response.status_code
        except OpsError:
            context.tunnels.drop(pod, AGENT_PORT)
            raise

    return send


class LogLoad(NumberedLoad):
    """Numbered log records; what was sent more than once may have arrived each time."""

    def __init__(self, ca_file: str, door: Door, *, workers: int = 2, batch: int = 25, pause: float = 0.25) -> None:
        super().__init__(ca_file, workers=workers, batch=batch, pause=pause, give_up_after=GIVE_UP_S)
        self.service = f"e2e-{self.run_id}"
        self._door = door

    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        body = log_request(self.service, numbers).SerializeToString()
        return lambda: (self._door(web, body), 0)

    def stored(self, search: SearchClient, seconds: float) -> Counter[Number]:
        """Number -> documents; asks again until none is missing or the time is up."""
        say(f"counting the log records in the index, {seconds:.0f} s for those that are late")
        deadline = time.monotonic() + seconds
        while True:
            counts: Counter[Number] = Counter()
            for hit in search.hits({"term": {"service": self.service}}, ["attributes"]):
                counts[number_of(hit["attributes"])] += 1
            if not self.ledger.missing(counts) or time.monotonic() > deadline:
                return counts
            time.sleep(2.0)


def log_request(service: str, numbers: Sequence[Number]) -> ExportLogsServiceRequest:
    """One request with a record for each number."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(otlp.attributes(otlp.resource_of(LOG_LAYER, service, service)))
    records = group.scope_logs.add().log_records
    now = time.time_ns()
    for worker, number in numbers:
        record = records.add(time_unix_nano=now, observed_time_unix_nano=now, severity_number=9, severity_text="INFO")
        record.body.string_value = "segment was stored"
        for key, value in ((SENDER, worker), (SEQUENCE, number)):
            record.attributes.add(key=key).value.CopyFrom(AnyValue(int_value=value))
    return request


def number_of(attributes: Mapping[str, object]) -> Number:
    """The number in a stored record's attributes."""
    return int(str(attributes[SENDER])), int(str(attributes[SEQUENCE]))
