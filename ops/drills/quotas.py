"""One login of Kafka wants ten times its quota, another one goes on as always and feels nothing (S2, ADR 0051).

Both logins, their quotas and their topics are the drill's own: what the platform moves is not throttled by it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, KafkaAdmin, client_settings, consumer, errors
from ops.core.kube import wait_until
from ops.core.platform import Login, Platform
from ops.core.terminal import say
from ops.dashboards.panel_queries import quantile
from ops.drills.procedures.kafka import scratch_topic
from ops.drills.tools import durations
from ops.drills.tools.accounts import account, unmet
from ops.drills.tools.load import TOPIC, OtlpLoad, ProducerLoad

GREEDY: Final = "drill-quota-greedy"
ORDINARY: Final = "drill-quota-ordinary"
KIB: Final = 1024
RATE: Final = 512 * KIB
"""Bytes a second that the greedy login may write and read at each broker."""
ENOUGH: Final = 4 * 1024 * KIB
"""The same of the other login, far above what it moves."""
THREADS: Final = 200.0
"""Percent of one thread, of both."""
TIMES: Final = 10
"""What the greedy login wants, in quotas."""
LEAST_TIMES: Final = 5
"""Below that, this machine could not offer enough for the drill to show anything."""
MOST_TIMES: Final = 1.5
"""What it may get, in quotas: the first seconds count towards a window that was empty."""
QUIET_S: Final = 20.0
LOUD_S: Final = 40.0
_SEEN_S: Final = 120.0
_BEFORE_LOGIN_S: Final = 60.0
_RECORD: Final = 16 * KIB
_BUFFER_KIB: Final = 2048
"""Of the greedy writer: what waits there for longer than a few seconds says nothing about quotas."""
_DELAY: Final = "kafka_server_quota_throttle_milliseconds"


@dataclass
class Greed:
    """What a client that wants too much was given.

    Attributes:
        allowed: Bytes a second that it may move at all brokers together.
        wanted: Bytes that it wanted to move; 0 where it wanted as many as it could get.
        moved: Bytes that it moved.
        seconds: How long it went on.
        delays: Seconds of every delay that a broker told it.
    """

    allowed: float
    wanted: int = 0
    moved: int = 0
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)

    def in_quotas(self, size: int) -> float:
        """Bytes as a multiple of what it may move in its time."""
        return round(size / self.seconds / self.allowed, 1)

    def note(self, event: Any) -> None:
        """Note a delay of which a broker tells."""
        self.delays.append(float(event.throttle_time))


@contextmanager
def login(kafka: KafkaAdmin, platform: Platform, name: str, topic: str, rate: int) -> Iterator[Login]:
    """A login that may write and read one topic, with a quota; it is removed afterwards.

    Raises:
        OpsError: It cannot be made, or Kafka does not know it in time.
    """
    credentials = Login.model_validate({"username": name, "password": secrets.token_urlsafe(24)})
    scram = ADMIN.ScramMechanism.SCRAM_SHA_512
    upsert = ADMIN.UserScramCredentialUpsertion(
        name, ADMIN.ScramCredentialInfo(scram, 4096), credentials.pair[1].encode()
    )
    rules = [_rule(name, topic, operation) for operation in (ADMIN.AclOperation.WRITE, ADMIN.AclOperation.READ)]
    bounds = {"producer_byte_rate": float(rate), "consumer_byte_rate": float(rate), "request_percentage": THREADS}
    with ExitStack() as stack, errors(f"login {name} cannot be made"):
        stack.callback(_set_quotas, kafka, name, dict.fromkeys(bounds))
        _set_quotas(kafka, name, bounds)
        stack.callback(
            _all, lambda: kafka.client.alter_user_scram_credentials([ADMIN.UserScramCredentialDeletion(name, scram)])
        )
        _all(lambda: kafka.client.alter_user_scram_credentials([upsert]))
        stack.callback(_all, lambda: kafka.client.delete_acls([_filter(rule) for rule in rules]))
        _all(lambda: kafka.client.create_acls(rules))
        wait_until(lambda: _sees(platform, credentials, topic), _BEFORE_LOGIN_S, f"login {name}")
        yield credentials


def _set_quotas(kafka: KafkaAdmin, name: str, values: Mapping[str, float | None]) -> None:
    with kafka.second_client() as client:
        client.set_quotas("user", name, values)


def _rule(user: str, topic: str, operation: Any) -> Any:
    literal, allow = ADMIN.ResourcePatternType.LITERAL, ADMIN.AclPermissionType.ALLOW
    return ADMIN.AclBinding(ADMIN.ResourceType.TOPIC, topic, literal, f"User:{user}", "*", operation, allow)


def _filter(rule: Any) -> Any:
    names = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
    return ADMIN.AclBindingFilter(*(getattr(rule, name) for name in names))


def _all(request: Callable[[], dict[Any, Any]]) -> None:
    for answer in request().values():
        answer.result(timeout=TIMEOUT_SECONDS)


def _sees(platform: Platform, credentials: Login, topic: str) -> bool:
    """Whether the brokers know the login and its permission."""
    try:
        seen = ADMIN.AdminClient(client_settings(platform, credentials)).list_topics(topic, timeout=5).topics[topic]
    except KafkaException:
        return False
    return seen.error is None and bool(seen.partitions)


def write(platform: Platform, credentials: Login, topic: str, *, allowed: float, seconds: float) -> Greed:
    """Offer a topic many times as many bytes as are allowed, whatever comes of them."""
    greed = Greed(allowed=allowed)

    def acknowledged(error: Any, message: Any) -> None:
        if error is None:
            greed.moved += len(message.value())

    producer = Producer(
        {
            **client_settings(platform, credentials),
            "acks": "all",
            "linger.ms": 20,
            "compression.type": "none",
            "queue.buffering.max.kbytes": _BUFFER_KIB,
            "throttle_cb": greed.note,
        }
    )
    block, begin = secrets.token_bytes(_RECORD), time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        while greed.wanted < TIMES * allowed * passed:
            greed.wanted += _RECORD
            # What is wanted and not taken is what is measured.
            with suppress(BufferError):
                producer.produce(topic, block, on_delivery=acknowledged)
        producer.poll(0.01)
    greed.seconds = time.monotonic() - begin
    producer.purge()
    producer.flush(TIMEOUT_SECONDS)
    return greed


def read(
    platform: Platform, credentials: Login, topic: str, *, partitions: int, allowed: float, seconds: float
) -> Greed:
    """Read a topic from its beginning, and again when its end is reached, as fast as it goes."""
    greed = Greed(allowed=allowed)
    settings = {
        **client_settings(platform, credentials),
        "throttle_cb": greed.note,
        "fetch.message.max.bytes": 8 * _RECORD,
        "enable.partition.eof": True,
    }
    with consumer(settings) as reader:
        reader.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            for message in reader.consume(100, timeout=0.1):
                error = message.error()
                if error is None:
                    greed.moved += len(message.value() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:
                    reader.seek(TopicPartition(topic, int(message.partition() or 0), 0))
        greed.seconds = time.monotonic() - begin
    return greed


def p95(latencies: list[tuple[float, float]], begin: float, end: float) -> float:
    """Seconds within which 95 of 100 records were acknowledged, of those acknowledged between two moments."""
    times = sorted(seconds for at, seconds in latencies if begin <= at < end)
    return round(quantile(times, 0.95), 3) if times else 0.0


def exceed_quota(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry it out on the platform; what did not hold.

    Raises:
        OpsError: A server does not answer.
    """
    kafka, platform = context.kafka, context.platform
    brokers = len(kafka.brokers())
    with ExitStack() as stack:
        theirs, own = stack.enter_context(scratch_topic(context)), stack.enter_context(scratch_topic(context))
        greedy = stack.enter_context(login(kafka, platform, GREEDY, theirs, RATE))
        ordinary = stack.enter_context(login(kafka, platform, ORDINARY, own, ENOUGH))
        partitions = kafka.topics()[theirs].partitions
        start = kafka.end_offsets(TOPIC)
        with OtlpLoad(context) as load, ProducerLoad(context, own, timeout=60, login=ordinary) as direct:
            load.run_for(QUIET_S)
            first = time.time()
            say(f"{GREEDY} writes {TIMES} times its quota for {LOUD_S:.0f} s, then reads as fast as it can")
            allowed = RATE * brokers
            written = write(platform, greedy, theirs, allowed=allowed, seconds=LOUD_S)
            was_read = read(platform, greedy, theirs, partitions=partitions, allowed=allowed, seconds=LOUD_S)
            last = time.time()
            load.run_for(QUIET_S)
        missing = load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))
        lost = direct.ledger.missing(direct.in_kafka(durations.ARRIVAL))
    figures |= {
        "quota KiB/s": RATE // KIB,
        "brokers": brokers,
        "wanted, in quotas": written.in_quotas(written.wanted),
        "written, in quotas": written.in_quotas(written.moved),
        "read, in quotas": was_read.in_quotas(was_read.moved),
        "longest delay s": round(max(written.delays + was_read.delays, default=0.0), 1),
        "other login P95 s before": p95(direct.latencies, 0, first),
        "other login P95 s": p95(direct.latencies, first, last),
    }
    return [
        *account(figures, "gateway", load, len(missing)),
        *account(figures, "other login", direct, len(lost)),
        *greeds(written, was_read),
        *unmet((not direct.ledger.given_up, f"the other login gave up {len(direct.ledger.given_up)} records")),
        *_seen(context, figures),
    ]


def greeds(written: Greed, was_read: Greed) -> list[str]:
    """What did not hold of the login that wanted too much."""
    wanted, moved = (written.in_quotas(size) for size in (written.wanted, written.moved))
    given = was_read.in_quotas(was_read.moved)
    return unmet(
        (wanted >= LEAST_TIMES, f"only {wanted} times the quota was offered: nothing is shown"),
        (0 < moved <= MOST_TIMES, f"{moved} times the quota was written"),
        (0 < given <= MOST_TIMES, f"{given} times the quota was read"),
        (bool(written.delays), "no broker told the writer of a delay"),
        (bool(was_read.delays), "no broker told the reader of a delay"),
    )


def _seen(context: Context, figures: dict[str, Any]) -> list[str]:
    """Whether the delays are in the metric, for what was written and for what was read."""
    for name in ("Produce", "Fetch"):
        query = f'max(max_over_time({_DELAY}{{user="{GREEDY}",quota="{name}"}}[5m]))'

        def delayed(query: str = query) -> bool:
            return (context.thanos.number(query) or 0) > 0

        try:
            wait_until(delayed, _SEEN_S, f"{_DELAY} of {name}", 2.0)
        except OpsError as error:
            return [str(error)]
        figures[f"delay of {name} in the metric ms"] = round(context.thanos.number(query) or 0)
    return []
