"""Quotas of Kafka's users: what one of them may take of a broker is bounded, so that the others have the rest (S2)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._kafka import QUOTA, USER, servers
from policy.rules._values import Unknowns, finding, number, shown

_RATES: Final = ("producer_byte_rate", "consumer_byte_rate")
_TIME: Final = "request_percentage"
_OF_USERS: Final = "user"
_MIB: Final = 2**20
_PERCENT_OF_A_THREAD: Final = 100
_NETWORK_THREADS, _IO_THREADS = 3, 8
"""Of a broker that does not say."""


def _bounded(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != QUOTA or resource.node["entityType"].text() != _OF_USERS:
        return
    most = options["most_mib_per_second"]
    for key in (*_RATES, _TIME):
        value = resource.node["config"][key]
        amount = number(value)
        if amount is None or not math.isfinite(amount) or amount <= 0:
            yield finding(resource, value, f"{key} {shown(value)}", "set it to a number above 0")
        elif key in _RATES and amount > most * _MIB:
            problem = f"{key} {shown(value)}, more than {most} MiB a second: no bound to a broker"
            yield finding(resource, value, problem, f"set it to at most {most * _MIB}")


def _everybody(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    users = dict(_named(resources, USER, "username", unknown))
    quotas = [
        (name, resource)
        for name, resource in _named(resources, QUOTA, "entityName", unknown)
        if resource.node["entityType"].text() == _OF_USERS
    ]
    counts = Counter(name for name, _ in quotas)
    for name, user in users.items():
        if not counts[name]:
            problem = f"the user {name} has no quota, so it can take all of a broker"
            yield finding(user, "username", problem, f"make a quota of entityType {_OF_USERS} and entityName {name}")
    for name, quota in quotas:
        if name not in users:
            yield finding(quota, "entityName", f"there is no user {name or '(none)'}", "name a user, or remove it")
        elif counts[name] > 1:
            yield finding(quota, "entityName", f"the user {name} has {counts[name]} quotas", "leave one")
    threads = min(
        (
            _threads(server["num.network.threads"], server["num.io.threads"])
            for resource in resources
            for server in unknown.known(servers(resource))
            if server.broker
        ),
        default=None,
    )
    for name, quota in quotas:
        percent = quota.node["config"][_TIME]
        if threads is not None and (number(percent) or 0) >= threads * _PERCENT_OF_A_THREAD:
            problem = f"{name} may take the time of all {threads:g} threads of a broker: {_TIME} {shown(percent)}"
            yield finding(quota, percent, problem, f"set it below {threads * _PERCENT_OF_A_THREAD:g}")
    unknown.tell()


def _named(resources: Sequence[Resource], kind: str, key: str, unknown: Unknowns) -> Iterator[tuple[str, Resource]]:
    """Resources of a kind by the value of a key."""
    yield from unknown.known((resource.node[key].text(), resource) for resource in resources if resource.type == kind)


def _threads(network: Node, io: Node) -> float:
    return (number(network) or _NETWORK_THREADS) + (number(io) or _IO_THREADS)


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-quota-bounds",
        promise="A quota of a user bounds what it writes, what it reads, and the time of the threads.",
        why="A bound that is missing or beyond what a broker can do is none.",
        sources=("S2",),
        options={
            "most_mib_per_second": Option(
                default=1024,
                schema={"type": "integer", "minimum": 1},
                meaning="Largest byte rate of one user at one broker; 1024 is nearly all of a network of 10 Gbit/s.",
            )
        },
        kinds=frozenset({"Quota"}),
        resource=_bounded,
    ),
    Rule(
        id="kafka-users-have-quotas",
        promise="Every user of Kafka has one quota, and none may take the time of all threads.",
        why="A reader that begins again and again, or a writer gone wild, takes the brokers from all others.",
        sources=("S2", "O5"),
        stack=_everybody,
    ),
)
