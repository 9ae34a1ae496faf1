"""Firewall rules that partition a namespace's pods from everything else, as data.

A region has a cluster of its own; the lab's two regions share one. So what a region's own cluster would still do for
its pods stays: they reach each other, cluster DNS and the API server, and the kubelet's probes reach them. Everything
else is dropped without an answer, in both directions, open connections too.

The rules are a table of their own, which neither kube-proxy nor kube-router touches, and which is changed whole or
not at all.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.cluster.addresses import API_PORT, NODE

_ENDED = ("Succeeded", "Failed")
_DNS_PORT = 53
DNS_NAMESPACE, _DNS_LABEL = "kube-system", ("k8s-app", "kube-dns")

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PartitionMembers:
    """What is to be partitioned.

    Attributes:
        pods: Addresses of the namespace's pods.
        service_addresses: Addresses of its Services: cluster and load balancer.
        dns: Addresses of the pods of cluster DNS.
        uids: UIDs of the namespace's pods.
        on_node: Names of its pods that have the node's own address: these cannot be partitioned.
    """

    pods: tuple[str, ...]
    service_addresses: tuple[str, ...]
    dns: tuple[str, ...]
    uids: tuple[str, ...]
    on_node: tuple[str, ...]


def partition_members(namespace: str, pods: Sequence[Object], services: Sequence[Object]) -> PartitionMembers:
    """Find the members of a partition.

    Args:
        namespace: The namespace.
        pods: Its pods and those of cluster DNS, or more. The address of one that has ended may be another's by now.
        services: Its Services, or more.
    """
    alive = [pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED]
    own = [pod for pod in alive if pod["metadata"]["namespace"] == namespace]
    inside = [pod for pod in own if not pod["spec"].get("hostNetwork")]
    key, value = _DNS_LABEL
    dns = [
        pod
        for pod in alive
        if pod["metadata"]["namespace"] == DNS_NAMESPACE and pod["metadata"].get("labels", {}).get(key) == value
    ]
    service_addresses = (service for service in services if service["metadata"]["namespace"] == namespace)
    return PartitionMembers(
        pods=_sorted(_address(pod) for pod in inside),
        service_addresses=_sorted(address for service in service_addresses for address in _service_addresses(service)),
        dns=_sorted(_address(pod) for pod in dns),
        uids=tuple(sorted(pod["metadata"]["uid"] for pod in inside)),
        on_node=tuple(sorted(pod["metadata"]["name"] for pod in own if pod["spec"].get("hostNetwork"))),
    )


def _address(pod: Object) -> str:
    return str(pod.get("status", {}).get("podIP", ""))


def _service_addresses(service: Object) -> list[str]:
    spec = service["spec"]
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    addresses = [spec.get("clusterIP", ""), *spec.get("externalIPs", []), *(ingress.get("ip", "") for ingress in given)]
    return [address for address in addresses if address != "None"]


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, set(addresses)), key=ipaddress.IPv4Address))


def table(namespace: str) -> str:
    """Name of a namespace's table; any name of a namespace gives a good one."""
    return f"lab_partition_{hashlib.sha256(namespace.encode()).hexdigest()[:12]}"


def removal(namespace: str) -> str:
    """Program of nft that lets everything through again, also where nothing was held up."""
    name = table(namespace)
    return f"table ip {name} {{ }}\ndelete table ip {name}\n"


def rules(namespace: str, partition_members: PartitionMembers) -> str:
    """Program of nft that partitions a namespace, whatever was partitioned before.

    Addresses of Services are looked at before they are translated into those of pods: one without pods that are ready
    would be refused by kube-proxy, and what is gone does not refuse. Everything else is looked at afterwards.
    """
    lines = [
        f"table ip {table(namespace)} {{",
        *_set("pods", partition_members.pods),
        *_set("service_addresses", partition_members.service_addresses),
        *_set("dns", partition_members.dns),
        *_chain("arriving", "prerouting", "mangle", "ip daddr @service_addresses ip saddr != @pods drop"),
        *_chain("sent", "output", "mangle", "ip daddr @service_addresses ip saddr != @pods drop"),
        *_chain("passing", "forward", "filter - 10", "jump region_policy"),
        *_chain(
            "to_node",
            "input",
            "filter - 10",
            "ip saddr @pods ct direction reply ct status & dnat != dnat accept",
            "jump region_policy",
        ),
        *_chain(
            "of_node",
            "output",
            "filter - 10",
            "ip daddr @pods ct direction original ct status & dnat != dnat accept",
            "jump region_policy",
        ),
        "  chain region_policy {",
        "    ip saddr @pods ip daddr @pods accept",
        f"    ip saddr @pods ip daddr @dns meta l4proto {{ tcp, udp }} th dport {_DNS_PORT} accept",
        f"    ip saddr @dns ip daddr @pods meta l4proto {{ tcp, udp }} th sport {_DNS_PORT} accept",
        f"    ip saddr @pods ip daddr {NODE} tcp dport {API_PORT} accept",
        f"    ip saddr {NODE} ip daddr @pods tcp sport {API_PORT} accept",
        "    ip saddr @pods drop",
        "    ip daddr @pods drop",
        "  }",
        "}",
    ]
    return removal(namespace) + "\n".join(lines) + "\n"


def _set(name: str, addresses: Sequence[str]) -> list[str]:
    elements = [f"    elements = {{ {', '.join(addresses)} }}"] if addresses else []
    return [f"  set {name} {{", "    type ipv4_addr", *elements, "  }"]


def _chain(name: str, hook: str, priority: str, *statements: str) -> list[str]:
    first = f"    type filter hook {hook} priority {priority}; policy accept;"
    return [f"  chain {name} {{", first, *(f"    {statement}" for statement in statements), "  }"]
