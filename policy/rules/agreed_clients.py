"""Whom Grafana and the program's providers talk to: agreed servers, verified by the platform's authority."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policy.documents import Format, documents, files
from policy.model import UNKNOWN, Finding, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._values import Unknowns, finding

_PROVIDERS: Final = ("pulumi:providers:grafana", "pulumi:providers:kafka")
_BUNDLE: Final = "trust-bundle"
_WHITELIST: Final = "data_source_proxy_whitelist"


def _authority(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    bundles = [
        text
        for resource in resources
        if resource.kind == "ConfigMap" and resource.object_name == _BUNDLE
        for _, text in unknown.known(files(resource))
    ]
    for resource in resources if bundles else ():
        if resource.type in _PROVIDERS:
            node = resource.node["caCert"]
            if node.raw is not UNKNOWN and node.text() and not any(node.text().strip() in text for text in bundles):
                problem = "another authority says who the server is: caCert is in no trust bundle of the stack"
                yield finding(resource, node, problem, "take the platform's authority")
    unknown.tell()


def _proxied(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    sources = {
        source["url"].text().partition("://")[2].partition("/")[0]
        for resource in resources
        for document in unknown.known(documents(resource, Format.DATASOURCES))
        for source in document.node["datasources"].elements()
    }
    for resource in resources:
        for name, text in unknown.known(files(resource)):
            if name.endswith(".ini"):
                listed = _formats.ini(text).get("security", {}).get(_WHITELIST, "").split()
                others = sorted(set(listed) - sources)
                if others:
                    problem = f"whoever may query reaches {others[0]} from inside: no data source is there"
                    yield finding(resource, f"{name}: [security] {_WHITELIST}", problem, "name the data sources alone")
    unknown.tell()


RULES: tuple[Rule, ...] = (
    Rule(
        id="provider-authority",
        promise="Providers verify servers by the platform's own authority.",
        why="By another one, anybody who has its key gets the passwords of administrators.",
        sources=("K5", "G5"),
        stack=_authority,
    ),
    Rule(
        id="grafana-proxy-sources",
        promise="Grafana's proxy reaches its data sources and nothing else.",
        why="Whoever may edit a data source would reach any server inside the cluster through Grafana.",
        sources=("G5",),
        stack=_proxied,
    ),
)
"""Rules of this concern."""
