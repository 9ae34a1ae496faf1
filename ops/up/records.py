"""DNS records that have to lead to the platform's load balancers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.preflight.addresses import LookUp, is_address

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
