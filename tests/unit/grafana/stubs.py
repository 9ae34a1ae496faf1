"""Grafana and its content on the recording engine, without the rest of the platform."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.contracts import (
    AlertmanagerEndpoint,
    Credential,
    DatabaseEndpoint,
    GrafanaEndpoint,
    OidcEndpoint,
    QueryEndpoint,
    SearchEndpoint,
    TraceQueryEndpoint,
)
from components.grafana.component import Grafana, GrafanaArgs, Logs
from components.grafana.content import FOLDERS, HOME, GrafanaContent, GrafanaContentArgs
from components.grafana.login import Directory, Groups, OidcLogin
from components.grafana.process import PORT
from components.grafana.sources import LogsPlugin
from components.k8s import LoadBalancerOptions, Resources
from policy.model import Resource
from policy.rules import RULES, concern
from policy.runner import Runner
from tests.support import engine
from tests.support.deployment_context import OF_WHOLE_STACKS, deployment_context, metrics

AUTHORITY = "-----BEGIN CERTIFICATE-----\ndirectory\n-----END CERTIFICATE-----\n"
DIRECTORY_SECRETS: dict[str, Any] = {"bind_password": "bind-password-of-grafana", "authority": AUTHORITY}
PREREQUISITES = {"certificate-authority", "image-registry", "network-default-deny", "namespace-made"}
"""Rules about what the rest of the platform brings."""
CONTEXT = deployment_context()
DIRECTORY = Directory(
    host="ldap.example.com",
    port=8636,
    networks=("198.18.0.2/32",),
    bind_dn="cn=grafana,ou=services,dc=example,dc=com",
    search_base="ou=people,dc=example,dc=com",
    search_filter="(uid=%s)",
    group_base="ou=groups,dc=example,dc=com",
    group_filter="(&(objectClass=groupOfNames)(member=%s))",
    groups=Groups(
        viewer="cn=monitoring-viewers,ou=groups,dc=example,dc=com",
        editor="cn=monitoring-editors,ou=groups,dc=example,dc=com",
        admin="cn=monitoring-admins,ou=groups,dc=example,dc=com",
    ),
)
TRACE_PAGES = TraceQueryEndpoint(
    clearance="public", workload="jaeger-query-public", url="https://198.18.0.30:4180", groups=("everybody",)
)


def login(name: str) -> Credential:
    """A login whose password tells whose it is; a plain text, since an Output belongs to one run of the engine."""
    password: Any = f"password-of-{name}"
    return Credential(username=name, password=password, bcrypt=password)


def database(**changes: Any) -> DatabaseEndpoint:
    """PostgreSQL of this platform."""
    return DatabaseEndpoint(
        **{
            "host": "postgres.ns.svc.cluster.local",
            "port": 5432,
            "name": "grafana",
            "user": login("grafana-database"),
            "workload": "postgres",
            "access_label": "obs.access/postgres",
            **changes,
        }
    )


def query() -> QueryEndpoint:
    """Thanos Query."""
    return QueryEndpoint(
        url="https://198.18.0.25:10902",
        internal_url="https://thanos-query.ns.svc.cluster.local:10902",
        server_name="thanos-query.ns.svc.cluster.local",
        access_label="obs.access/thanos-query",
        reader=login("reader"),
    )


def alertmanager() -> AlertmanagerEndpoint:
    """The Alertmanager cluster."""
    return AlertmanagerEndpoint(
        url="https://198.18.0.26:9093",
        internal_url="https://alertmanager.ns.svc.cluster.local:9093",
        members=("alertmanager-0", "alertmanager-1"),
        port=9093,
        server_name="alertmanager.ns.svc.cluster.local",
        access_label="obs.access/alertmanager",
        operator=login("operator"),
    )


def logs(plugin: LogsPlugin = LogsPlugin.OPENSEARCH) -> Logs:
    """The search cluster, with a user of Grafana's own."""
    ready: Any = True
    search = SearchEndpoint(
        url="https://search.ns.svc.cluster.local:9200",
        port=9200,
        workload="search",
        server_name="search.ns.svc.cluster.local",
        access_label="obs.access/search",
        users={"grafana": login("grafana-search")},
        ready=ready,
        after=(),
    )
    return Logs(search=search, user="grafana", index="logs-read", plugin=plugin)


def oidc(**changes: Any) -> OidcLogin:
    """A provider of the same site."""
    endpoint = OidcEndpoint(
        issuer="https://id.example.org",
        port=443,
        client_id="grafana",
        client_secret="password-of-oidc-client",
        networks=("203.0.113.0/24",),
    )
    return OidcLogin(
        **{
            "endpoint": endpoint,
            "authorize_url": "https://id.example.org/authorize",
            "token_url": "https://id.example.org/token",
            "userinfo_url": "https://id.example.org/userinfo",
            "groups": Groups(viewer="monitoring-viewers", editor="monitoring-editors", admin="monitoring-admins"),
            **changes,
        }
    )


def arguments(**changes: Any) -> GrafanaArgs:
    """Arguments of a component."""
    return GrafanaArgs(
        **{
            "context": CONTEXT,
            "scrape": metrics(CONTEXT, "grafana", PORT),
            "replicas": 2,
            "resources": Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
            "address": "198.18.0.27",
            "client_cidrs": ["198.18.0.0/24"],
            "load_balancer": LoadBalancerOptions(),
            "hosts": ["grafana.example.org"],
            "database": database(),
            "directory": DIRECTORY,
            "directory_secrets": DIRECTORY_SECRETS,
            "query": query(),
            "alertmanager": alertmanager(),
            "logs": logs(),
            "trace_pages": TRACE_PAGES,
            **changes,
        }
    )


@dataclass
class Made:
    """The component, and what it registered."""

    recording: engine.Recording
    component: Grafana

    def file(self, kind: str, name: str, key: str) -> str:
        """One file of a ConfigMap or Secret."""
        held = self.recording.one(kind, name)
        return str(held["data" if kind == "ConfigMap" else "stringData"][key])


def make(change: Callable[[], dict[str, Any]] = dict) -> Made:
    """Make it; what is changed is made while the engine runs."""
    recording = engine.Recording()
    components: list[Grafana] = []
    engine.run(recording, "local", lambda: components.append(Grafana("grafana", arguments(**change()))))
    return Made(recording, components[0])


@functools.cache
def default_build() -> Made:
    """The usual one, once; do not change it."""
    return make()


def dashboards() -> dict[str, str]:
    """A small JSON for every dashboard of the platform."""
    return {uid: json.dumps({"uid": uid, "title": uid}) for spec in FOLDERS for uid in spec.dashboards}


def content(**changes: Any) -> GrafanaContentArgs:
    """Arguments of the content."""
    place = GrafanaEndpoint(
        url="https://grafana.example.org:3000",
        internal_url="https://grafana.ns.svc.cluster.local:3000",
        port=3000,
        server_name="grafana.ns.svc.cluster.local",
        access_label="obs.access/grafana",
        administrator=login("platform-administrator"),
    )
    return GrafanaContentArgs(
        **{
            "grafana": place,
            "authority": engine.AUTHORITY,
            "folders": FOLDERS,
            "dashboards": dashboards(),
            "home": HOME,
            **changes,
        }
    )


def make_content(change: Callable[[], dict[str, Any]] = dict) -> tuple[engine.Recording, GrafanaContent]:
    """Make it; what is changed is made while the engine runs."""
    recording = engine.Recording()
    components: list[GrafanaContent] = []
    engine.run(recording, "local", lambda: components.append(GrafanaContent("grafana-content", content(**change()))))
    return recording, components[0]


def findings(recording: engine.Recording, *concerns: str) -> list[str]:
    """What rules of some concerns (by default of all) say about what was registered."""
    resources = [
        Resource(resource.token, resource.name, {**resource.inputs, **_known(resource)})
        for resource in recording.resources
        if not resource.read
    ]
    rules = [rule for rule in RULES if not concerns or concern(rule) in concerns]
    return [
        verdict.message
        for verdict in Runner(rules=rules, agreed=[]).all(resources)
        if verdict.rule.id not in PREREQUISITES | OF_WHOLE_STACKS
    ]


def _known(resource: engine.Recorded) -> dict[str, str]:
    return {"result": engine.password_of(resource.name)} if resource.token == engine.PASSWORD else {}
