"""DNS records that have to lead to the platform's load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ops.preflight.addresses import LookUp, is_address
from ops.preflight.lines import Line, ok, warn

CHECK: Final = "DNS records"
_ADDRESS, _NAME = "A or AAAA", "CNAME"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A DNS record that is missing, or leads elsewhere.

    Attributes:
        host: Name of it.
        target: Address or name of the load balancer.
        now: Addresses that the name has.
    """

    host: str
    target: str
    now: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = _ADDRESS if is_address(self.target) else _NAME
        elsewhere = f" (now {', '.join(self.now)})" if self.now else ""
        return f"{self.host} {kind} {self.target}{elsewhere}"


def missing(hosts: Mapping[str, str], balancers: Mapping[str, str], look_up: LookUp) -> list[Record]:
    """Records without which clients do not reach load balancers that are there.

    Args:
        hosts: Name that clients use -> Service.
        balancers: Service -> address or name of its load balancer.
        look_up: Addresses of a name, none where it has none.
    """
    records = []
    for host, service in hosts.items():
        target = balancers.get(service)
        if not target:
            continue
        now = tuple(look_up(host))
        there = {target} if is_address(target) else set(look_up(target))
        # Where the load balancer's own name is not known here yet, nothing can be compared.
        if not now or (there and there.isdisjoint(now)):
            records.append(Record(host=host, target=target, now=now))
    return records


def told(hosts: Mapping[str, str], balancers: Mapping[str, str], look_up: LookUp) -> Iterator[Line]:
    """The line about these records; none before the first of these load balancers has an address.

    Args:
        hosts: Name that clients use -> Service.
        balancers: Service -> address or name of its load balancer.
        look_up: Addresses of a name, none where it has none.
    """
    known = sum(bool(balancers.get(service)) for service in hosts.values())
    if not known:
        return
    if records := missing(hosts, balancers, look_up):
        yield warn(CHECK, f"to make: {', '.join(map(str, records))}", "make them, unless clients ask other DNS servers")
    else:
        yield ok(CHECK, f"names that lead to their load balancers: {known}")
