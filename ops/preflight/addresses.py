"""Names and addresses: services outside, our own names, who answers DNS questions, who counts as a client,
and DNS records that have to lead to load balancers.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.gateway.component import WORKLOAD as GATEWAY
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.query import query_workload
from components.kafka.config import external_service
from components.prometheus.query import WORKLOAD as QUERY
from components.signin import ALERTS_LOGIN, METRICS_LOGIN
from ops.core.pulumi import SETTINGS_KEY
from ops.preflight.demand import Cluster
from ops.preflight.lines import Line, fail, ok, some, warn
from stacks.secrets import SECRETS_KEY
from stacks.settings import Settings

Resolve = Callable[[str], bool]
LookUp = Callable[[str], Sequence[str]]
_EXAMPLES: Final = tuple(map(ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Networks of documentation (RFC 5737): nobody has an address there."""
_CLIENTS: Final = "client_cidrs"
_NETWORKS: Final = ("networks", _CLIENTS)


def resolved(host: str) -> tuple[str, ...]:
    """Addresses of a name, asked from here."""
    try:
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, None)))
    except (OSError, UnicodeError):
        return ()


looked_up = functools.cache(resolved)
"""The same, asked once: several checks look at one name."""


def resolves(host: str) -> bool:
    """Whether a name has an address, asked from here."""
    return bool(looked_up(host))


@dataclass(frozen=True, kw_only=True)
class Place:
    """A service outside.

    Attributes:
        host: Its name or address.
        key: Key of the settings that says in which networks it is.
        networks: These.
    """

    host: str
    key: str
    networks: Sequence[str]


def names(settings: Settings, resolve: Resolve = resolves, *, more: Sequence[Place] = ()) -> Iterator[Line]:
    """Names of services outside have addresses; names of our own may be made after the first update.

    Args:
        settings: Of the stack.
        resolve: Whether a name has an address.
        more: Services outside that the settings do not name.
    """
    hosts = list(dict.fromkeys(place.host for place in (*_outside(settings), *more)))
    outside = [host for host in hosts if not is_address(host) and not resolve(host)]
    if outside:
        yield fail("names outside", f"no address from here: {some(outside)}", "correct them, or make the DNS records")
    else:
        yield ok("names outside", "each has an address")
    own = [host for host in own_names(settings) if not resolve(host)]
    if own:
        remedy = "make the DNS records once the load balancers have addresses: topics and Grafana go through them"
        yield warn("own names", f"no address from here: {some(own)}", remedy)
    else:
        yield ok("own names", "each has an address")


def examples(settings: Settings) -> Line:
    """No network is one of those that Pulumi.prod.yaml has in place of yours."""
    wrong = [
        f"{key} {network}"
        for key, listed in _listed(settings)
        for network in listed
        if any(_within(ipaddress.ip_network(network), example) for example in _EXAMPLES)
    ]
    if wrong:
        return fail(
            "example networks",
            f"nobody has an address there (RFC 5737): {some(wrong)}",
            "name the networks of your services, which pods may reach there and nowhere else",
        )
    return ok("example networks", "none is left")


def networks(settings: Settings, more: Sequence[Place] = (), look_up: LookUp = looked_up) -> Line:
    """Services outside are in the networks in which pods may reach them, as far as names have the same addresses here.

    Args:
        settings: Of the stack.
        more: Services outside that the settings do not name.
        look_up: Addresses of a name.
    """
    wrong = []
    for place in dict.fromkeys(
        (place.host, place.key, tuple(place.networks)) for place in (*_outside(settings), *more)
    ):
        host, key, there = place
        strangers = _not_in([host] if is_address(host) else look_up(host), there)
        if strangers:
            name = "" if host in strangers else f"{host} has "
            wrong.append(f"{name}{strangers[0]}, in none of {key}")
    if wrong:
        remedy = "add their networks, unless pods are given other addresses than this machine"
        return warn("networks outside", "; ".join(wrong), remedy)
    return ok("networks outside", "have every address that is known here")


def _not_in(addresses: Sequence[str], networks: Sequence[str]) -> list[str]:
    """Addresses in none of some networks; only those of a kind that these have, where there are such."""
    there = [ipaddress.ip_network(network) for network in networks]
    known = {address: ipaddress.ip_address(address.partition("%")[0]) for address in addresses}
    alike = {name: one for name, one in known.items() if one.version in {network.version for network in there}}
    return [name for name, one in (alike or known).items() if not any(one in network for network in there)]


def _outside(settings: Settings) -> list[Place]:
    """Services outside that pods call, with the networks in which the settings say they are."""
    channels, grafana, storage = settings.alerting.channels, settings.grafana, settings.object_storage
    identity, witness, peer = settings.traces.identity, settings.regions.witness, settings.regions.peer
    receivers, database = settings.alerting.networks, settings.database.external
    named: list[tuple[str | None, str, Sequence[str]]] = [
        (_s3(storage.endpoint, storage.region), "object_storage.networks", storage.networks)
    ]
    if identity:
        named.append((_host(identity.issuer), "traces.identity.networks", identity.networks))
    if witness:
        named.append((_s3(witness.endpoint, witness.region), "regions.witness.networks", witness.networks))
    if sms := channels.sms:
        named.append((_host(sms.url or f"https://sns.{sms.region}.amazonaws.com"), "alerting.networks", receivers))
    named += [(_before_port(address), "alerting.networks", receivers) for address in channels.addresses]
    if oidc := grafana.oidc:
        named += [(_host(url), "grafana.oidc.networks", oidc.networks) for url in (oidc.token_url, oidc.userinfo_url)]
    if grafana.ldap:
        named.append((grafana.ldap.host, "grafana.ldap.networks", grafana.ldap.networks))
    if database:
        named.append((database.host, "database.external.networks", database.networks))
    if peer:
        named += [(_before_port(address), "regions.peer.networks", peer.networks) for address in peer.bootstrap]
    return [Place(host=host, key=key, networks=there) for host, key, there in named if host]


def secret_places(settings: Settings, values: Mapping[str, str]) -> list[Place]:
    """Services outside whose addresses are secrets: Slack and the dead man's switch; none where they cannot be read.

    Args:
        settings: Of the stack.
        values: Key of the configuration -> value, decrypted.
    """
    try:
        known: Any = json.loads(values[f"{SETTINGS_KEY.partition(':')[0]}:{SECRETS_KEY}"])
        webhooks = dict(known.get("slack_urls") or {})
        heartbeat = known.get("heartbeat_url")
    except (KeyError, ValueError, TypeError, AttributeError):
        return []
    alerting = settings.alerting
    urls = [webhooks.get(name) for name, contact in alerting.contacts.items() if contact.slack]
    urls += [heartbeat] if alerting.heartbeat else []
    hosts = dict.fromkeys(_host(url) for url in urls if isinstance(url, str))
    return [Place(host=host, key="alerting.networks", networks=alerting.networks) for host in hosts if host]


def _s3(endpoint: str | None, region: str) -> str:
    return _host(endpoint or f"https://s3.{region}.amazonaws.com")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _before_port(address: str) -> str:
    return address.rpartition(":")[0]


def own_names(settings: Settings) -> Mapping[str, str]:
    """Name that clients use -> Service whose load balancer it has to lead to; endpoints without a name are left out."""
    brokers = {broker.host: external_service(index) for index, broker in enumerate(settings.kafka.brokers)}
    ends = {
        GATEWAY: settings.gateway,
        QUERY: settings.query,
        ALERTMANAGER: settings.alerting.external_endpoint,
        GRAFANA: settings.grafana.external_endpoint,
        **({METRICS_LOGIN: sign_in.metrics, ALERTS_LOGIN: sign_in.alerts} if (sign_in := settings.sign_in) else {}),
        **{query_workload(clearance): query for clearance, query in settings.traces.queries.items()},
    }
    hosts = {**brokers, **{end.host: service for service, end in ends.items()}}
    return {host: service for host, service in hosts.items() if not is_address(host)}


def is_address(host: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, other: ipaddress.IPv4Network) -> bool:
    return isinstance(network, ipaddress.IPv4Network) and network.subnet_of(other)


def _listed(settings: Settings) -> Iterator[tuple[str, Sequence[str]]]:
    """Keys of the settings that name networks, with these."""

    def walk(value: object, path: str) -> Iterator[tuple[str, Sequence[str]]]:
        if isinstance(value, BaseModel):
            value = {name: getattr(value, name) for name in type(value).model_fields}
        if isinstance(value, Mapping):
            for key, inner in value.items():
                place = f"{path}.{key}" if path else str(key)
                if key in _NETWORKS and isinstance(inner, tuple):
                    yield place, inner
                else:
                    yield from walk(inner, place)

    yield from walk(settings, "")


def clients(cluster: Cluster, settings: Settings) -> Iterator[Line]:
    """No pod counts as a client by its address; pods with the network of their node have its address."""
    pods, seen = cluster.pods()
    if not seen:
        return
    own = {
        ipaddress.ip_address(address): f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in pods
        if (address := pod["status"].get("podIP")) and not pod["spec"].get("hostNetwork")
    }
    wide: dict[str, list[str]] = {}
    for key, listed in _listed(settings):
        if key.endswith(_CLIENTS):
            for network in listed:
                wide.setdefault(network, []).append(key)
    wrong = []
    for network, keys in wide.items():
        within = next((f"{name}, {one}" for one, name in own.items() if one in ipaddress.ip_network(network)), "")
        if within:
            wrong.append(f"{network} of {some(keys)} has pods (such as {within})")
    if wrong:
        remedy = "name the clients' networks alone where not every pod of the cluster may call"
        yield warn("clients", "; ".join(wrong), remedy)
    else:
        yield ok("clients", f"no pod's address is in a {_CLIENTS}")


_SYSTEM: Final = "kube-system"
_RESOLVERS: Final = (_SYSTEM, {"k8s-app": "kube-dns"})
_CACHES: Final = (_SYSTEM, {"k8s-app": "node-local-dns"})
_CACHE: Final = "169.254.20.10"
"""Where NodeLocal DNSCache answers unless it is told otherwise."""


def dns(cluster: Cluster, settings: Settings) -> Line:
    """Somebody answers DNS questions whom pods may ask."""
    pods, seen = cluster.pods()
    if not seen:
        return warn(
            "DNS",
            "may not list pods: who answers could not be seen",
            "it has to be pods with the label k8s-app: kube-dns in kube-system, or what settings.cluster.dns names",
        )
    asked_of = settings.cluster.dns
    allowed = [ipaddress.ip_network(network) for network in asked_of.networks]
    service = cluster.dns_address()
    caches = [pod for pod in pods if _labelled(pod, *_CACHES) and pod["spec"].get("hostNetwork")]
    if caches:
        answering = [one for one in dict.fromkeys([*_cached(caches[0]), service]) if one]
        missing = [one for one in answering if not any(ipaddress.ip_address(one) in network for network in allowed)]
        if missing:
            return warn(
                "DNS",
                f"NodeLocal DNSCache answers at {', '.join(answering)}: {', '.join(missing)} in none of "
                "cluster.dns.networks",
                f"add {', '.join(str(ipaddress.ip_network(one)) for one in missing)} to cluster.dns.networks",
            )
    resolvers = [_RESOLVERS, *((listed.namespace, listed.labels) for listed in asked_of.pods)]
    count = sum(any(_labelled(pod, *labelled) for labelled in resolvers) for pod in pods)
    if count:
        return ok("DNS", f"pods that answer, and may be asked: {count}")
    if service and any(ipaddress.ip_address(service) in network for network in allowed):
        return ok("DNS", f"the Service kube-dns has {service}, in cluster.dns.networks")
    problem = "no pod answers that has the label k8s-app: kube-dns in kube-system, or labels of cluster.dns.pods"
    remedy = f"name who answers in cluster.dns.pods, or in cluster.dns.networks (the Service: {service or 'none seen'})"
    if allowed:
        return warn("DNS", f"{problem}: only {', '.join(asked_of.networks)} may be asked", remedy)
    return fail("DNS", problem, remedy)


def _labelled(pod: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> bool:
    metadata = pod["metadata"]
    return metadata["namespace"] == namespace and labels.items() <= (metadata.get("labels") or {}).items()


def _cached(pod: Mapping[str, Any]) -> list[str]:
    """Addresses at which a cache of a node answers, as its command line says."""
    words = [word for container in pod["spec"]["containers"] for word in container.get("args") or ()]
    for word, following in itertools.pairwise([*words, ""]):
        name, _, value = word.partition("=")
        if name.lstrip("-") == "localip":
            return [one for one in (value or following).split(",") if is_address(one)] or [_CACHE]
    return [_CACHE]


RECORDS: Final = "DNS records"
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


def missing_records(hosts: Mapping[str, str], balancers: Mapping[str, str], look_up: LookUp) -> list[Record]:
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


def records_told(hosts: Mapping[str, str], balancers: Mapping[str, str], look_up: LookUp) -> Iterator[Line]:
    """The line about these records; none before the first of these load balancers has an address.

    Args:
        hosts: Name that clients use -> Service.
        balancers: Service -> address or name of its load balancer.
        look_up: Addresses of a name, none where it has none.
    """
    known = sum(bool(balancers.get(service)) for service in hosts.values())
    if not known:
        return
    if records := missing_records(hosts, balancers, look_up):
        remedy = "make them, unless clients ask other DNS servers"
        yield warn(RECORDS, f"to make: {', '.join(map(str, records))}", remedy)
    else:
        yield ok(RECORDS, f"names that lead to their load balancers: {known}")
