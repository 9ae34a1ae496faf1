"""Attacks on the gateway of the own platform, each bounded in time and count, with the answer that it must get.

What an attack must not do: reach Kafka, end a gateway, or be felt by another layer's client (`gate_run`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from components.telemetry.layers import LAYERS
from ops.drills import gate_senders as senders
from ops.drills.gate_senders import ATTACKER, BUDGET_TIMES, FITS, MIB, REFUSED, Sender, attacker_resource
from ops.drills.gate_target import ANSWER_S, CLOSED, RESET

NEIGHBOUR: Final = LAYERS[1]
"""Another layer than the attacker's, which must not feel them."""
_UNPACKED: Final = 256 * MIB
_HUGE: Final = 64 * MIB
_TWO_BYTES: Final = 950_000
"""Attributes of two bytes in a request that fits."""
_TOO_LARGE: Final = frozenset(("400", "413"))
_HTTP: Final = "http_server_request_duration_seconds_count"
_RPC: Final = "rpc_server_call_duration_seconds_count"
_REFUSED: Final = "otelcol_gate_refused_items_total"
_LOGINS: Final = "otelcol_login_refused_requests_total"
_THROTTLED: Final = "otelcol_login_throttled_requests_total"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A counter of the gateways that has to rise.

    Attributes:
        metric: Name in Prometheus.
        labels: Label -> value, a regular expression.
        at_least: By how much; counters of Prometheus may miss the first rise of a series, so a part of what was sent.
    """

    metric: str
    labels: Mapping[str, str]
    at_least: int = 1

    def selector(self, job: str = "") -> str:
        """The series in PromQL."""
        labels = {**({"job": job} if job else {}), **self.labels}
        matchers = ",".join(f'{key}=~"{value}"' for key, value in labels.items())
        return f"{self.metric}{{{matchers}}}"


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        name: Of its figures.
        what: What is sent, and how much of it.
        answers: What it may be answered.
        limit_s: Seconds that it lasts at most; it ends by itself.
        run: Sends it; how often each answer came.
        counted: The counters that rise; none where nothing of a request arrives that could be counted.
    """

    name: str
    what: str
    answers: frozenset[str]
    limit_s: float
    run: Sender = field(repr=False)
    counted: tuple[Counted, ...] = ()


def _http(code: str, at_least: int = 1) -> Counted:
    return Counted(metric=_HTTP, labels={"http_response_status_code": code}, at_least=at_least)


def _rpc(code: str, at_least: int = 1) -> Counted:
    return Counted(metric=_RPC, labels={"rpc_response_status_code": code}, at_least=at_least)


def _login(reason: str, at_least: int = 1) -> Counted:
    return Counted(metric=_LOGINS, labels={"reason": reason}, at_least=at_least)


def _throttled(reason: str, at_least: int = 1) -> Counted:
    return Counted(metric=_THROTTLED, labels={"layer": ATTACKER.name, "reason": reason}, at_least=at_least)


def _reason(reason: str, at_least: int = 1) -> Counted:
    return Counted(metric=_REFUSED, labels={"layer": ATTACKER.name, "reason": reason}, at_least=at_least)


ENDED: Final = frozenset((CLOSED, RESET, REFUSED))
ATTACKS: Final[tuple[Attack, ...]] = (
    Attack(
        name="gzip bomb",
        what=f"20 bodies of zeros that unpack to {_UNPACKED // MIB} MiB",
        answers=_TOO_LARGE,
        limit_s=60,
        run=senders.posts(lambda: senders.gzip_bomb(_UNPACKED), 20, encoding="gzip"),
        counted=(_http("400|413", 10),),
    ),
    Attack(
        name="zstd window",
        what="20 frames that have 512 MiB set aside for what they refer back to, in an encoding that is not offered",
        answers=frozenset(("400", "415")),
        limit_s=60,
        run=senders.posts(lambda: senders.zstd_bomb(_UNPACKED), 20, encoding="zstd"),
        counted=(_http("400|415", 10),),
    ),
    Attack(
        name="chain of encodings",
        what=f"20 gzip bombs of {_UNPACKED // MIB} MiB within gzip, said to be `gzip, gzip`",
        answers=frozenset(("400", "415")),
        limit_s=60,
        run=senders.posts(lambda: senders.gzip_chain(_UNPACKED), 20, encoding="gzip, gzip"),
        counted=(_http("400|415", 10),),
    ),
    Attack(
        name="deflate",
        what="20 bodies with an encoding that is not offered",
        answers=frozenset(("400", "415")),
        limit_s=60,
        run=senders.posts(lambda: bytes(MIB), 20, encoding="deflate"),
        counted=(_http("400|415", 10),),
    ),
    Attack(
        name="huge bodies",
        what=f"20 bodies of {_HUGE // MIB} MiB as they are",
        answers=_TOO_LARGE,
        limit_s=90,
        run=senders.posts(lambda: bytes(_HUGE), 20),
        counted=(_http("400|413", 10),),
    ),
    Attack(
        name="deep nesting",
        what="40 log records, body or attribute nested over a hundred thousand deep in lists or maps, 8 at once",
        answers=frozenset(("400", senders.SHARE_USED)),
        limit_s=90,
        run=senders.deep,
        counted=(_reason("depth", 10),),
    ),
    Attack(
        name="deep nesting over gRPC",
        what="32 log records nested over a hundred thousand deep, 16 at once",
        answers=frozenset(("INVALID_ARGUMENT", "UNAVAILABLE", "RESOURCE_EXHAUSTED")),
        limit_s=90,
        run=senders.deep_grpc,
        counted=(_reason("depth", 10),),
    ),
    Attack(
        name="deep nesting as JSON",
        what="20 bodies of JSON nested tens of thousands deep",
        answers=frozenset(("400",)),
        limit_s=60,
        run=senders.posts(lambda: senders.deep_json(FITS), 20, content_type="application/json"),
        counted=(_login("depth", 10),),
    ),
    Attack(
        name="attributes of a record",
        what=f"20 log records with {_TWO_BYTES:,} attributes each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=senders.posts(lambda: senders.attribute_log(attacker_resource(), _TWO_BYTES), 20),
        counted=(_login("attributes", 10),),
    ),
    Attack(
        name="attributes of a resource",
        what=f"20 resources with {_TWO_BYTES:,} attributes each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=senders.posts(lambda: senders.attribute_resource(attacker_resource(), _TWO_BYTES), 20),
        counted=(_login("attributes", 10),),
    ),
    Attack(
        name="empty log records",
        what=f"20 bodies with {_TWO_BYTES:,} empty log records each",
        answers=frozenset(("400",)),
        limit_s=90,
        run=senders.posts(lambda: senders.empty_logs(attacker_resource(), _TWO_BYTES), 20),
        counted=(_login("items", 10),),
    ),
    Attack(
        name="no protobuf over HTTP",
        what="400 bodies of random bytes",
        answers=frozenset(("400",)),
        limit_s=60,
        run=senders.posts(lambda: b"\xff" + os.urandom(16 * 1024), 400, path="/v1/traces"),
        counted=(_http("400", 200),),
    ),
    Attack(
        name="no protobuf over gRPC",
        what="200 messages of random bytes",
        answers=frozenset(("INTERNAL",)),
        limit_s=60,
        run=senders.garbage_grpc,
        counted=(_rpc("INTERNAL", 100),),
    ),
    Attack(
        name="gRPC messages over the limit",
        what="40 messages of 6 MiB, half of them without a password",
        answers=frozenset(("RESOURCE_EXHAUSTED", "UNAUTHENTICATED")),
        limit_s=60,
        run=senders.large_grpc,
        counted=(_rpc("RESOURCE_EXHAUSTED", 10), _login("none", 10)),
    ),
    Attack(
        name="wrong passwords",
        what="up to 4,000 wrong passwords on 8 connections",
        answers=frozenset(("401",)),
        limit_s=20,
        run=senders.passwords,
        counted=(_login("wrong", 10),),
    ),
    Attack(
        name="wrong paths",
        what="300 requests to paths that there are not, half of them without a password",
        answers=frozenset(("404", "401")),
        limit_s=60,
        run=senders.paths,
        counted=(_http("404", 50), _http("401", 50)),
    ),
    Attack(
        name="resets of HTTP/2 streams at the gRPC port",
        what="20 connections with 2,000 streams each, reset at once",
        answers=frozenset(("answered", "GOAWAY", *ENDED)),
        limit_s=60,
        run=senders.resets(lambda target: target.grpc),
        counted=(_login("none", 20),),
    ),
    Attack(
        name="resets of HTTP/2 streams at the HTTP port",
        what="20 connections with 2,000 streams each, reset at once",
        answers=frozenset(("answered", "GOAWAY", *ENDED)),
        limit_s=60,
        run=senders.resets(lambda target: target.http),
        counted=(_http("401", 20),),
    ),
    Attack(
        name="a device at ten times its budget",
        what=f"{BUDGET_TIMES * ATTACKER.budget.client_series:,} series of one device, which may have "
        f"{ATTACKER.budget.client_series:,}",
        answers=frozenset(("200", "400")),
        limit_s=60,
        run=senders.budget,
        counted=(_reason("client_budget", (BUDGET_TIMES - 2) * ATTACKER.budget.client_series),),
    ),
    Attack(
        name="slow headers",
        what="200 connections whose headers come a byte every half second",
        answers=frozenset(("400", "408", *ENDED)),
        limit_s=60,
        run=senders.trickle(200, senders.half_head, lambda _: b"x"),
    ),
    Attack(
        name="slow bodies",
        what="100 connections whose bodies come a byte every half second",
        answers=frozenset(("400", "408", *ENDED)),
        limit_s=90,
        run=senders.trickle(100, senders.half_body, lambda _: b"\0"),
        counted=(_http("400|408", 50),),
    ),
    Attack(
        name="slow bodies that unpack",
        what=f"400 connections with some KB that unpack to {FITS // 1024:,} KiB, of which the end does not come",
        answers=frozenset(("400", "408", senders.SHARE_USED, *ENDED)),
        limit_s=90,
        run=senders.trickle(400, senders.half_packed, lambda _: b""),
        counted=(_throttled("memory", 50), _http("400|408", 10)),
    ),
    Attack(
        name="idle connections at the HTTP port",
        what="2,000 connections on which nothing is sent",
        answers=ENDED,
        limit_s=120,
        run=senders.idle(2000, lambda target: target.http, "http/1.1"),
    ),
    Attack(
        name="idle connections at the gRPC port",
        what="1,000 connections that answer no ping",
        answers=ENDED,
        limit_s=180,
        run=senders.idle(1000, lambda target: target.grpc, "h2"),
    ),
)
"""In the order in which they are made; the longest a single request is waited for is `ANSWER_S` beyond the limit."""
LONGEST_S: Final = sum(attack.limit_s + ANSWER_S for attack in ATTACKS)
