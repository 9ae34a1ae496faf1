"""Clients of Kafka: TLS with our authority, SCRAM-SHA-512.

Records go through confluent-kafka (librdkafka). Groups and their offsets are asked with kafka-python: librdkafka ends
its whole process with an abort (pull request 5397) or a segmentation fault (issue 5040) when the coordinator of a group
moves while it is asked.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, for_code
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.admin import AlterClientQuotasRequest, DescribeClientQuotasRequest

_ANY_NAME = 2
"""Matches each entity that has a name, and the default one."""
METADATA_REFRESH_MS = 10_000
"""How soon a client sees new partitions of its topics; librdkafka's own five minutes would leave them unread."""
HANDSHAKE_S = 10.0
"""Longest TLS handshake of kafka-python; librdkafka has its own bound."""
SHARED_PARTITIONS: dict[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 30_000,
    "max.poll.interval.ms": 300_000,
}
"""Of a consumer whose group has several members, which come and go: those that stay keep what they read."""


def librdkafka(*, bootstrap: str, ca: str | Path, username: str, password: str, client_id: str = "") -> dict[str, Any]:
    """Settings of a client of confluent-kafka, to which its own are added.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        ca: Authority of their certificates: PEM, or the file with it.
        username: SCRAM user.
        password: Its password.
        client_id: Name of the client in the brokers' logs; empty: librdkafka's own.
    """
    return {
        "bootstrap.servers": bootstrap,
        "security.protocol": "sasl_ssl",
        **({"ssl.ca.location": str(ca)} if isinstance(ca, Path) else {"ssl.ca.pem": ca}),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": username,
        "sasl.password": password,
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        **({"client.id": client_id} if client_id else {}),
    }


class GroupAccess(Protocol):
    """Settings of a program that reads as a group."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def ca_file(self) -> Path: ...
    @property
    def username(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def password_file(self) -> Path: ...


def group_consumer(access: GroupAccess) -> dict[str, Any]:
    """Settings of a consumer that commits by itself what it has stored, and begins with the oldest record.

    Raises:
        OSError: The password cannot be read.
    """
    return {
        **librdkafka(
            bootstrap=access.bootstrap,
            ca=access.ca_file,
            username=access.username,
            password=access.password_file.read_text().strip(),
            client_id=access.group,
        ),
        "group.id": access.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": 16_384,
        "fetch.max.bytes": 16_777_216,
        # A broker works as hard for a request as for a thousand records: it answers when there is enough, or after 1 s.
        "fetch.min.bytes": 262_144,
        "fetch.wait.max.ms": 1_000,
        "log_level": 3,
    }


class Admin(KafkaAdminClient):  # type: ignore[misc]
    """An administrator's client of kafka-python that leaves no thread behind when nobody answers it.

    It caches the coordinator of a group for ever: after an error, close it and make another one.
    """

    def __init__(self, **configs: Any) -> None:
        """Connect.

        Raises:
            KafkaError: No broker answered within ``bootstrap_timeout_ms``; the message tells the last problem.
        """
        self._closed = False
        problem = _LastProblem()
        _LOG.addHandler(problem)
        try:
            super().__init__(**configs)
        except KafkaTimeoutError as error:
            self.close()
            raise KafkaError(f"{_text(error)}: {problem.message or 'no answer'}") from None
        except BaseException:
            if hasattr(self, "_net"):
                self.close()
            raise
        finally:
            _LOG.removeHandler(problem)

    def close(self) -> None:
        """End all connections, also those that the client itself leaves as they are: see below."""
        before = [*_SOCKETS.get(self._net, ())]
        super().close()
        self._net.close()
        for sock in (*before, *_SOCKETS.pop(self._net, ())):
            sock.close()

    def quotas(self, kind: str) -> dict[str, dict[str, float]]:
        """Quotas of every single user, client id or address; librdkafka has no such request.

        Args:
            kind: ``user``, ``client-id`` or ``ip``.

        Returns:
            Name -> key (``producer_byte_rate`` ...) -> value.

        Raises:
            KafkaError: A broker does not answer, or refuses.
        """
        component = DescribeClientQuotasRequest.ComponentData(entity_type=kind, match_type=_ANY_NAME, match=None)
        request = DescribeClientQuotasRequest(components=[component], strict=True)
        answer = self._manager.run(self._manager.send, request)
        _raise(answer)
        return {
            entry.entity[0].entity_name: {value.key: value.value for value in entry.values}
            for entry in answer.entries or ()
            if entry.entity[0].entity_name is not None
        }

    def set_quotas(self, kind: str, name: str, values: Mapping[str, float | None]) -> None:
        """Change quotas of one user, client id or address; what is not named stays.

        Args:
            kind: As for `quotas`.
            name: Whose.
            values: Key -> value, or None to remove it.

        Raises:
            KafkaError: A broker does not answer, or refuses.
        """
        entry = AlterClientQuotasRequest.EntryData
        changes = [entry.OpData(key=key, value=value or 0.0, remove=value is None) for key, value in values.items()]
        whose = entry.EntityData(entity_type=kind, entity_name=name)
        request = AlterClientQuotasRequest(entries=[entry(entity=[whose], ops=changes)], validate_only=False)
        for altered in self._manager.run(self._manager.send, request).entries:
            _raise(altered)


def _raise(answer: Any) -> None:
    """Raise what a broker refuses with."""
    if answer.error_code:
        raise for_code(answer.error_code)(answer.error_message)


def admin(*, bootstrap: str, ca: str, username: str, password: str, client_id: str, request_s: float) -> Admin:
    """An administrator's client for groups and their offsets.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        ca: PEM of the authority of their certificates.
        username: SCRAM user.
        password: Its password.
        client_id: Name of the client in the brokers' logs.
        request_s: Limit of one request, and of the first connection.

    Raises:
        KafkaError: No broker answers, or they refuse the user.
        OSError: ``ca`` is no certificate.
    """
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    limit_ms = int(request_s * 1000)
    return Admin(
        bootstrap_servers=bootstrap.split(","),
        client_id=client_id,
        security_protocol="SASL_SSL",
        ssl_context=context,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=username,
        sasl_plain_password=password,
        request_timeout_ms=limit_ms,
        bootstrap_timeout_ms=limit_ms,
        reconnect_backoff_max_ms=1000,
    )


def consumer_groups(client: Any) -> list[str]:
    """Names of the groups of consumers, sorted; not those of Connect's workers.

    Raises:
        KafkaError: A broker does not answer, or refuses.
    """
    return sorted(group["group_id"] for group in client.list_groups() if group["protocol_type"] in ("", "consumer"))


def committed(client: Any, group: str) -> dict[tuple[str, int], int]:
    """Offsets that a group has committed: of the next record that it will read, by topic and partition.

    Raises:
        KafkaError: The coordinator does not answer, or refuses.
    """
    offsets = client.list_group_offsets([group])[group]
    return {(key.topic, key.partition): entry.offset for key, entry in offsets.items() if entry.offset >= 0}


_connect = KafkaNetSocket.sock_connect


async def _connect_or_close(self: Any, net: Any, sock: Any, *where: Any, **options: Any) -> Any:
    try:
        return await _connect(self, net, sock, *where, **options)
    except BaseException:
        sock.close()
        raise


async def _handshake_or_close(self: Any) -> None:
    sock, until = self._sock, time.monotonic() + HANDSHAKE_S
    _SOCKETS.setdefault(self._net, WeakSet()).add(sock)
    try:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._net.wait_read(sock, timeout_at=until)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(sock, timeout_at=until)
            else:
                return
    except BaseException:
        sock.close()
        raise


# kafka-python 3.0.12 leaves sockets to the garbage collector, so that a client that waits for its brokers would run out
# of descriptors first: that of an attempt that fails; that of a connection closed while a request waits to be written,
# for closing cancels the writer, who would have closed it; that of a connection made while another thread closes the
# client. And its handshake with a broker that hangs never ends.
_SOCKETS: WeakKeyDictionary[Any, WeakSet[ssl.SSLSocket]] = WeakKeyDictionary()
KafkaNetSocket.sock_connect = _connect_or_close
KafkaSSLTransport.handshake = _handshake_or_close
KafkaTCPTransport.close = KafkaTCPTransport.abort


class _LastProblem(logging.Handler):
    """Keeps why a connection failed, which kafka-python tells only its log; a refusal counts more than silence."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.message = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason."""
        reason = _REASON.search(" ".join(record.getMessage().split()))
        if reason and not _REFUSAL.search(self.message):
            self.message = reason[1]


def _text(error: KafkaError) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


_REASON = re.compile(r"(?:Connection|Bootstrap connection to \S+) failed: (.+?)(?: \(backoff [^)]*\))?$")
_REFUSAL = re.compile("Authentication|CERTIFICATE|certificate")
_LOG = logging.getLogger("kafka")
# Errors are raised too, and told by who asks: a second line of each would be noise.
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False
