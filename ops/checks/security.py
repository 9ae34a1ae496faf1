"""K5, P2 and M1: who must be refused is refused, on the live platform, and who reached for what is recorded.

Each client that must be refused returns why it was, or an empty text when it was let in.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from components.audit import WORKLOAD
from ops.audit.log import DAYS, TOPIC, read
from ops.audit.tries import LIMIT_S, attempts, reported
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, client_settings, errors
from ops.core.platform import Login, Platform
from ops.core.rows import Check, Finding, listed
from services.audit import Source
from services.audit.records import GAP

_DAY_MS: Final = 86_400_000
_BACK: Final = timedelta(days=2)


def m1(context: Context) -> Finding:
    """One allowed and one refused access at each source, and the chain of the last days."""
    finding = Finding()
    finding.drill("audit-told", show=("slowest s",))
    if not context.kube.pods(WORKLOAD):
        finding.wrong.append(f"no pod of {WORKLOAD} runs: the audit log is not written")
        return finding
    retention = context.kafka.topic_settings([TOPIC])[TOPIC].get("retention.ms", "")
    finding.expect_equal(f"retention.ms of {TOPIC}", retention, str(DAYS * _DAY_MS))
    tried = attempts(context)
    seconds = reported(context, tried)
    for name, taken in seconds.items():
        if taken is None:
            finding.wrong.append(f"{name}: not in the audit report within {LIMIT_S:.0f} s")
    known = [taken for taken in seconds.values() if taken is not None]
    if known:
        finding.figures.append(f"{len(known)} accesses in the report within {max(known):.1f} s")
    log = read(context.platform, datetime.now(UTC) - _BACK)
    finding.wrong.extend(log.problems)
    gaps = [record for record in log.accesses if record.source is Source.AUDIT and record.action == GAP]
    finding.figures.append(f"{len(log.records)} records in 2 days, {len(gaps)} gaps recorded, chain intact")
    finding.seen.extend(context.platform.left_out("audit.cluster"))
    finding.seen.extend(f"gap {gap.time:%m-%d %H:%M} {gap.part}: {gap.detail.get('reason', '')}" for gap in gaps[-5:])
    return finding


SECONDS = 10.0
_QUOTAS = frozenset({"producer_byte_rate", "consumer_byte_rate", "request_percentage"})
_DENIED = ("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED")


def plaintext(platform: Platform) -> str:
    """A client without TLS."""
    return _metadata({"bootstrap.servers": platform.kafka_bootstrap, "security.protocol": "PLAINTEXT"})


def without_sasl(platform: Platform) -> str:
    """A client with TLS that does not sign in."""
    settings = client_settings(platform, platform.kafka_admin)
    kept = {key: value for key, value in settings.items() if not key.startswith("sasl.")}
    return _metadata({**kept, "security.protocol": "SSL"})


def wrong_password(platform: Platform) -> str:
    """A known user with a wrong password."""
    wrong = Login.model_validate({"username": platform.kafka_admin.username, "password": secrets.token_urlsafe(16)})
    return _metadata(client_settings(platform, wrong))


def writing(platform: Platform, user: str, topic: str) -> str:
    """``user`` writes to a topic that is not its own."""
    reasons: list[str] = []
    settings = {**client_settings(platform, platform.kafka_users[user]), "message.timeout.ms": int(SECONDS * 1000)}
    producer = Producer(settings)
    producer.produce(topic, b"refused", on_delivery=lambda error, _: reasons.append(error.name() if error else ""))
    producer.flush(SECONDS + 2)
    return reasons[0] if reasons and reasons[0] in _DENIED else ""


def reading(platform: Platform, user: str, topic: str) -> str:
    """``user`` reads a topic that is not its own; it joins no group, so it disturbs none."""
    with _consumer(platform, user, user) as consumer:
        # Who may not read usually may not even learn where the partitions are; then there is nothing to fetch from.
        with errors(f"no metadata for {user}"):
            denied = consumer.list_topics(topic, timeout=SECONDS).topics[topic].error
        if denied is not None and denied.name() in _DENIED:
            return str(denied.name())
        consumer.assign([TopicPartition(topic, 0, 0)])
        return _denial(consumer)


def joining(platform: Platform, user: str, topic: str, group: str) -> str:
    """``user`` joins a group that is not its own."""
    with _consumer(platform, user, group) as consumer:
        consumer.subscribe([topic])
        return _denial(consumer)


@contextmanager
def _consumer(platform: Platform, user: str, group: str) -> Iterator[Consumer]:
    settings = client_settings(platform, platform.kafka_users[user])
    consumer = Consumer({**settings, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    try:
        yield consumer
    finally:
        consumer.close()


def _denial(consumer: Consumer) -> str:
    """The refusal, or nothing when a record comes or no refusal does."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        error = message.error()
        if error is None:
            return ""
        if error.name() in _DENIED:
            return str(error.name())
    return ""


def control(platform: Platform) -> None:
    """The same address lets the right client in; without this a refusal would show nothing.

    Raises:
        OpsError: It does not.
    """
    reason = _metadata(client_settings(platform, platform.kafka_admin))
    if reason:
        raise OpsError(f"the permitted client is also refused: {reason}")


def _metadata(settings: dict[str, Any]) -> str:
    """Ask for metadata; the first error that says why there was no answer."""
    said: list[KafkaError] = []
    admin = ADMIN.AdminClient({**settings, "error_cb": said.append, "log_level": 0, "socket.timeout.ms": 5000})
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            admin.list_topics(timeout=1.0)
        except KafkaException as error:
            admin.poll(0.1)
            names = [reported.name() for reported in said if reported.name() != "_ALL_BROKERS_DOWN"]
            if names:
                return str(names[0])
            if time.monotonic() > deadline:
                return str(error.args[0].name())
        else:
            return ""


def refusals(platform: Platform) -> dict[str, str]:
    """All probes of requirement K5 by name; an empty reason means that the client was let in."""
    reader = platform.consumer_groups[0]
    probes: dict[str, Callable[[], str]] = {
        "no TLS": lambda: plaintext(platform),
        "TLS without SASL": lambda: without_sasl(platform),
        "wrong password": lambda: wrong_password(platform),
        f"{reader} writing telemetry-metrics": lambda: writing(platform, reader, "telemetry-metrics"),
        "gateway writing alerts-raw": lambda: writing(platform, "gateway", "alerts-raw"),
        f"gateway in group {reader}": lambda: joining(platform, "gateway", "telemetry-metrics", reader),
        f"{reader} reading telemetry-traces": lambda: reading(platform, reader, "telemetry-traces"),
        f"{reader} in another group": lambda: joining(platform, reader, "telemetry-metrics", "someone-else"),
    }
    with ThreadPoolExecutor(max_workers=len(probes)) as pool:
        answers = {name: pool.submit(probe) for name, probe in probes.items()}
        return {name: answer.result() for name, answer in answers.items()}


_LISTENERS = {"SSL", "SASL_SSL"}


def k5(context: Context) -> Finding:
    """Listeners, users, ACLs, quotas; and clients that must be refused."""
    finding = Finding()
    platform, kafka = context.platform, context.kafka
    for broker, settings in kafka.broker_settings(kafka.brokers()).items():
        pairs = dict(entry.split(":", 1) for entry in settings["listener.security.protocol.map"].split(",") if entry)
        used = {entry.split(":", 1)[0] for entry in settings["listeners"].split(",")}
        plain = sorted(name for name in used if pairs.get(name, name) not in _LISTENERS)
        finding.expect(not plain, f"broker {broker} has listeners without TLS: {listed(plain)}")
        finding.expect(
            settings.get("authorizer.class.name", "").endswith("StandardAuthorizer"),
            f"broker {broker} has no authorizer",
        )
        finding.expect(
            settings.get("allow.everyone.if.no.acl.found", "false") != "true", f"broker {broker} allows by default"
        )
    with errors(f"Kafka ({platform.kafka_bootstrap}) does not list users and ACLs"):
        users = kafka.client.describe_user_scram_credentials(None).result(timeout=TIMEOUT_SECONDS)
        every = ADMIN.AclBindingFilter(
            ADMIN.ResourceType.ANY,
            None,
            ADMIN.ResourcePatternType.ANY,
            None,
            None,
            ADMIN.AclOperation.ANY,
            ADMIN.AclPermissionType.ANY,
        )
        acls = kafka.client.describe_acls(every).result(timeout=TIMEOUT_SECONDS)
    logins = {login.username for login in platform.kafka_users.values()}
    missing = logins - set(users)
    finding.expect(not missing, f"no SCRAM user {listed(missing)}")
    weak = [
        name
        for name, user in users.items()
        if not all("512" in str(info.mechanism) for info in user.scram_credential_infos)
    ]
    finding.expect(not weak, f"not SCRAM-SHA-512: {listed(weak)}")
    quotas = kafka.quotas()
    unbounded = [name for name in sorted(logins) if not quotas.get(name, {}).keys() >= _QUOTAS]
    finding.expect(not unbounded, f"no quota of bytes and threads: {listed(unbounded)}")
    wide = [acl for acl in acls if acl.principal in ("User:*", "*")]
    finding.expect(not wide, f"{len(wide)} ACLs apply to every user")
    control(platform)
    reasons = refusals(platform)
    let_in = [name for name, reason in reasons.items() if not reason]
    finding.expect(not let_in, f"allowed: {listed(let_in)}")
    finding.figures.append(f"{len(reasons) - len(let_in)} of {len(reasons)} forbidden clients refused")
    finding.figures.append(f"{len(users)} SCRAM-SHA-512 users, {len(acls)} ACLs, {len(quotas)} quotas")
    finding.seen.extend(f"{name}: {reason.strip('_')}" for name, reason in reasons.items() if reason)
    finding.drill("quota-exceeded", "certificates-renewed", "kafka-admin-password", "kafka-logins-rotated")
    return finding


def p2(context: Context) -> Finding:
    """Anonymous, wrong and foreign logins get 401; the right ones get 200."""
    finding = Finding()
    platform, web = context.platform, context.web
    servers = platform.prometheus_servers
    names = {f"prometheus-{server}": context.prometheus_url(server) for server in servers}
    names["thanos-query"] = platform.query_url
    readers = {f"prometheus-{server}": platform.prometheus_credentials[server].pair for server in servers}
    readers["thanos-query"] = platform.query_reader.pair
    scrapers = {name: login.pair for name, login in platform.scrape_credentials.items()}
    tried = 0
    for name, base in names.items():
        api = f"{base}/api/v1/query?query=1"
        user, password = readers[name]
        others = {pair for other, pair in scrapers.items() if other != name}
        wanted: dict[str, tuple[tuple[str, str] | None, str, int]] = {
            "anonymous query": (None, api, 401),
            "anonymous metrics": (None, f"{base}/metrics", 401),
            "wrong password": ((user, secrets.token_urlsafe(12)), api, 401),
            "reader": ((user, password), api, 200),
            "own scrape user": (scrapers[name], f"{base}/metrics", 200),
            **{f"scrape user {pair[0]}": (pair, f"{base}/metrics", 401) for pair in others},
        }
        for who, (auth, url, status) in wanted.items():
            tried += 1
            finding.expect_equal(f"{name} to {who}", web.status(url, auth), status)
    finding.figures.append(f"{tried} logins tried at {len(names)} servers")
    finding.seen.append(
        "anonymous, wrong password and every other target's scrape user got 401; reader and own scraper 200"
    )
    return finding


CHECKS: dict[str, Check] = {"K5": k5, "P2": p2, "M1": m1}
