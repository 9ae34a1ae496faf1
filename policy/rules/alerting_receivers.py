"""Whom Alertmanager sends to: no secrets in its file, verified TLS, logins, and a record of every notification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from policy.documents import Format, documents
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._alerting import CREDENTIAL_KEYS, Routing, routings
from policy.rules._values import client_tls, finding, flag, host_of, loopback, old_versions

_FILES = frozenset({"ConfigMap", "Secret"})
_SECRETS: Final = frozenset(
    {"smtp_auth_password", "smtp_auth_secret", "auth_password", "auth_secret", "slack_api_url", "slack_app_token"}
    | {"app_token", "service_key", "routing_key", "opsgenie_api_key", "api_key", "victorops_api_key", "user_key"}
    | {"wechat_api_secret", "api_secret", "telegram_bot_token", "bot_token", "rocketchat_token", "token", "token_id"}
    | {"rocketchat_token_id", "webhook_url", "password", "credentials", "bearer_token", "client_secret", "secret_key"}
    | {"alert_source_token", "client_certificate_key"}
)
_ADDRESSES: Final = re.compile(r"(^|_)(url|api_url)$")
_PAGERS: Final = frozenset({"opsgenie_configs", "pagerduty_configs", "victorops_configs"})
"""Ring for a new incident, of which each group of alerts has one."""
_EACH: Final = ["..."]
_TLS: Final = ("tls_config", "smtp_tls_config")


def _secrets(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kind != "ConfigMap":
        return
    for document in documents(resource, Format.ALERTMANAGER):
        for key, node in _entries(document.node):
            secret = key in _SECRETS or (key == "api_url" and "slack_configs" in node.path)
            if not secret and key == "url" and isinstance(node.value, str):
                secret = bool(urlsplit(node.value).password)
            if secret and node.text():
                yield finding(
                    resource,
                    node,
                    f"{key} is written into a ConfigMap",
                    f"put it into a Secret and name its file with {_file_key(key)}",
                )


def _file_key(key: str) -> str:
    return {"token": "token_file", "token_id": "token_id_file"}.get(key, f"{key}_file")


def _entries(node: Node) -> Iterator[tuple[str, Node]]:
    for inner in node.walk():
        if isinstance(inner.raw, Mapping):
            yield from inner.items()


def _encrypted(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.ALERTMANAGER):
        for key, node in _entries(document.node):
            if key in ("require_tls", "smtp_require_tls") and node.exists and flag(node) is not True:
                yield finding(
                    resource, node, f"mail leaves without TLS: {key} is {node.text().lower()}", f"remove {key}"
                )
            elif key == "insecure_skip_verify" and node.exists and flag(node) is not False:
                yield finding(
                    resource,
                    node,
                    f"a receiver's certificate is not verified: {key} is {node.text().lower()}",
                    f"remove {key} and set ca_file where the receiver has a CA of its own",
                )
            elif _ADDRESSES.search(key) and node.text().startswith("http://") and not loopback(node.text()):
                yield finding(
                    resource, node, f"alerts go to {node.text()} in clear text", "give the receiver an https address"
                )
            elif key in _TLS:
                yield from old_versions(resource, node)


def _inside(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        for channel in routing.channels:
            if not channel.inside:
                continue
            host = host_of(channel.address.text())
            yield from client_tls(resource, channel.tls, what=host)
            if not channel.mail and not any(channel.http[section][key].text() for section, key in CREDENTIAL_KEYS):
                yield finding(
                    resource,
                    channel.http["basic_auth"],
                    f"{host} is shown no login that comes from a file",
                    "set basic_auth with username and password_file",
                )


def _authority(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        outside = [channel for channel in routing.channels if channel.outside]
        named = sorted({address.tls["ca_file"].text() for address in outside} - {""})
        for channel in outside:
            if named and not any(channel.tls[key].text() for key in ("ca_file", "ca")):
                yield finding(
                    resource,
                    channel.tls["ca_file"],
                    f"others of the file are verified by {', '.join(named)}, and this one of {channel.receiver} by "
                    "every public authority",
                    f"set ca_file to {named[0]}",
                )


def _recorded(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        recorded = {channel.receiver for channel in routing.channels if channel.inside}
        for channel in routing.channels:
            resolved = channel.node["send_resolved"]
            if channel.inside and channel.kind == "webhook_configs" and flag(resolved) is False:
                yield finding(
                    resource, resolved, f"the end of what {channel.receiver} is told is not recorded", "remove it"
                )
        silent = _receivers_of(routing, str(options["heartbeat"]))
        for receiver in routing.node["receivers"].elements() if recorded else ():
            name = receiver["name"].text()
            if name not in recorded and name not in silent:
                yield finding(
                    resource,
                    receiver["webhook_configs"],
                    f"what {name} is told is not recorded: others tell a Service of the cluster, too",
                    "give it the same webhook",
                )


def _rings(resource: Resource, options: Options) -> Iterator[Finding]:
    for routing in routings(resource):
        pagers = {channel.receiver for channel in routing.channels if channel.kind in _PAGERS}
        for route in routing.root.all():
            named = any(matcher.operator == "=" for matcher in route.matchers)
            grouped = route.of("group_by").texts()
            if named and route.node["receiver"].text() in pagers and grouped != _EACH:
                by = ", ".join(grouped) or "nothing"
                problem = f"the pager rings for the first of several alerts alone: they are one incident by {by}"
                yield finding(resource, route.node["group_by"], problem, 'set group_by to ["..."]')


def _receivers_of(routing: Routing, alert: str) -> set[str]:
    """Receivers of an alert that is no news."""
    [taken] = routing.taken([frozenset({("alertname", alert)})])
    return {route.of("receiver").text() for route in taken if route.above}


RULES: tuple[Rule, ...] = (
    Rule(
        id="alertmanager-secrets",
        promise="No password, token or secret address of a receiver lies in a ConfigMap.",
        why="Everybody who may read ConfigMaps could send notifications in our name.",
        sources=("A2", "P2"),
        kinds=_FILES,
        resource=_secrets,
    ),
    Rule(
        id="alertmanager-receivers-tls",
        promise="Notifications leave over verified TLS of an unbroken version only.",
        why="Alerts name hosts, people and weaknesses; on the way they could be read or dropped.",
        sources=("A1", "A2"),
        kinds=_FILES,
        resource=_encrypted,
    ),
    Rule(
        id="alertmanager-receivers-inside",
        promise="Services of the cluster that are told of alerts are verified by an authority, and shown a login.",
        why="No public authority signs their names, and whoever may post without a login can make up alerts.",
        sources=("A1", "A3"),
        kinds=_FILES,
        resource=_inside,
    ),
    Rule(
        id="alertmanager-receivers-authority",
        promise="A file that names who signs the receivers outside names it for each of them.",
        why="One that is left out is believed with a certificate of any public authority, or cannot be told at all.",
        sources=("A1", "A2"),
        kinds=_FILES,
        resource=_authority,
    ),
    Rule(
        id="alertmanager-notifications-recorded",
        promise="Where a Service of the cluster records notifications, every receiver posts to it but the heartbeat.",
        why="Who was notified of what, and when, could not be shown afterwards.",
        sources=("A3",),
        options={
            "heartbeat": Option(
                default="Watchdog",
                schema={"type": "string"},
                meaning="The alert that always fires; its notifications are no news.",
            )
        },
        kinds=_FILES,
        resource=_recorded,
    ),
    Rule(
        id="alertmanager-pager-rings",
        promise="The pager opens an incident for each alert of a priority or of a contact.",
        why="It rings for a new incident only: a second alert in that of another one would ring nobody.",
        sources=("A2",),
        kinds=_FILES,
        resource=_rings,
    ),
)
