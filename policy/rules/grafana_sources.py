"""What Grafana is provisioned with: data sources, LDAP, and resources of the Grafana provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy.documents import Format, documents, files
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules import _values
from policy.rules._values import FILES, each_known, finding, flag, loopback, shown, true
from policy.rules.grafana import Grafana, grafanas

_SQL: Final = ("postgres", "grafana-postgresql-datasource", "mysql", "mssql")
_OUTSIDE = re.compile(r"\$__(file|env|vault)\{[^}]*\}|\$\{[^}]*\}|\$[A-Za-z_]\w*")


def _sources(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.DATASOURCES):
        for source in document.node["datasources"].elements():
            yield from _source(resource, source, source["jsonData"])


def _source(resource: Resource, source: Node, data: Node) -> Iterator[Finding]:
    address = source["url"].text()
    if source["type"].text() not in _SQL and address and not address.startswith("https://") and not loopback(address):
        yield finding(
            resource, source["url"], f"Grafana asks {address} in clear text", "give the data source an https address"
        )
    if data["tlsSkipVerify"].exists and flag(data["tlsSkipVerify"]) is not False:
        yield finding(
            resource,
            data["tlsSkipVerify"],
            f"the data source's certificate is not verified: tlsSkipVerify {shown(data['tlsSkipVerify'])}",
            "remove it, and set tlsAuthWithCACert with secureJsonData.tlsCACert",
        )
    if source["access"].text() in ("direct", "browser"):
        yield finding(
            resource,
            source["access"],
            f"browsers ask the data source themselves, past Grafana's permissions: access is {source['access'].text()}",
            "set access to proxy",
        )


def _source_logins(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.DATASOURCES):
        for source in document.node["datasources"].elements():
            if not _has_login(source, source["jsonData"]):
                yield finding(
                    resource,
                    source,
                    f"Grafana shows {source['name'].text() or 'the data source'} no login",
                    "set basicAuth with basicAuthUser and secureJsonData.basicAuthPassword, or jsonData.tlsAuth",
                )


def _has_login(source: Node, data: Node) -> bool:
    basic = flag(source["basicAuth"]) is True and bool(source["basicAuthUser"].text())
    others = any(flag(data[key]) is True for key in ("tlsAuth", "oauthPassThru", "sigV4Auth"))
    header = any(key.startswith("httpHeaderName") for key, _ in data.items())
    return basic or others or header or (source["type"].text() in _SQL and bool(source["user"].text()))


def _source_secrets(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kind != "ConfigMap":
        return
    for document in documents(resource, Format.DATASOURCES):
        for source in document.node["datasources"].elements():
            entries = [node for key, node in source["secureJsonData"].items() if key != "tlsCACert"]
            for node in [*entries, source["password"], source["basicAuthPassword"]]:
                if node.text() and not _OUTSIDE.fullmatch(node.text()):
                    yield finding(
                        resource,
                        node,
                        "a data source's secret is written into a ConfigMap",
                        "put the file into a Secret, or read the value with $__file{...}",
                    )


def _ldap(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, content in _ldap_files(resource):
        for server in Node(content, f"{name}:")["servers"].elements():
            ssl = server["use_ssl"]
            if flag(ssl) is not True:
                yield finding(
                    resource, ssl, f"passwords go to LDAP in clear text: use_ssl {shown(ssl)}", "set use_ssl to true"
                )
            skip, authority, password = server["ssl_skip_verify"], server["root_ca_cert"], server["bind_password"]
            if skip.exists and flag(skip) is not False:
                yield finding(
                    resource,
                    skip,
                    f"LDAP's certificate is not verified: ssl_skip_verify {shown(skip)}",
                    "set ssl_skip_verify to false",
                )
            if not authority.text():
                yield finding(
                    resource,
                    authority,
                    "no authority is named that LDAP is verified by: root_ca_cert is not set",
                    "set root_ca_cert to the directory's CA",
                )
            if resource.kind == "ConfigMap" and password.text() and not _OUTSIDE.fullmatch(password.text()):
                yield finding(
                    resource,
                    password,
                    "the password for LDAP is written into a ConfigMap",
                    "put the file into a Secret, or read the value with $__file{...}",
                )


def _ldap_files(resource: Resource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, text in files(resource):
        content = _values.toml(text) if name.endswith(".toml") else None
        if content and isinstance(content.get("servers"), list) and "search_base_dns" in str(content["servers"]):
            yield name, content


def _ldap_wired(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_ldap_of(grafana) for grafana in grafanas(resources))


def _ldap_of(grafana: Grafana) -> Iterator[Finding]:
    enabled = grafana.given.get(("auth.ldap", "enabled"))
    if enabled is None or not true(enabled.value):
        return
    path = grafana.given.get(("auth.ldap", "config_file"))
    target = path.value if path else "/etc/grafana/ldap.toml"
    if grafana.mounted.at(target) is None:
        grafana.mounted.missing()
        yield finding(
            enabled.resource,
            (path or enabled).where,
            f"LDAP is on and its file {target} is in no ConfigMap or Secret that is mounted there",
            "mount the file at that path, or name the right one with [auth.ldap] config_file",
        )


def _provider(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.type.startswith("grafana:"):
        return
    node = resource.node
    if resource.kind == "DataSource":
        encoded = node["jsonDataEncoded"].text()
        data = Node(json.loads(encoded) if encoded else {}, "jsonDataEncoded:")
        yield from _source(resource, node, data)
    elif resource.kind in ("DashboardPublic", "PublicDashboard") and flag(node["isEnabled"]) is not False:
        yield finding(
            resource, node["isEnabled"], "a dashboard is published without a login", "remove the public dashboard"
        )
    elif resource.kind in ("RuleGroup", "ContactPoint", "NotificationPolicy", "MuteTiming", "MessageTemplate"):
        yield finding(
            resource,
            node.path or "type",
            f"a {resource.kind} makes Grafana alert beside Alertmanager",
            "write the rule for Prometheus and the receiver for Alertmanager",
        )
    elif resource.kind in ("FolderPermission", "DashboardPermission"):
        for entry in node["permissions"].elements():
            if entry["role"].text() == "Viewer" and entry["permission"].text() in ("Edit", "Admin"):
                yield finding(
                    resource,
                    entry["permission"],
                    f"every viewer gets {entry['permission'].text()}",
                    "give viewers View, and a team or editors the rest",
                )


RULES: tuple[Rule, ...] = (
    Rule(
        id="grafana-datasource-tls",
        promise="Grafana asks its data sources over verified TLS, and no browser asks them itself.",
        why="Logins and figures could be read or forged on the way.",
        sources=("G1", "P2"),
        kinds=FILES,
        resource=_sources,
    ),
    Rule(
        id="grafana-datasource-login",
        promise="Grafana logs in at every data source.",
        why="A data source that answers without a login answers everybody.",
        sources=("G1", "P2"),
        kinds=FILES,
        resource=_source_logins,
    ),
    Rule(
        id="grafana-datasource-secrets",
        promise="Passwords of data sources lie in Secrets.",
        why="Whoever may read ConfigMaps could ask the data sources past Grafana.",
        sources=("G1", "P2"),
        kinds=FILES,
        resource=_source_secrets,
    ),
    Rule(
        id="grafana-ldap",
        promise="Grafana talks to LDAP over verified TLS.",
        why="Everybody's password passes there.",
        sources=("G5",),
        kinds=FILES,
        resource=_ldap,
    ),
    Rule(
        id="grafana-ldap-wired",
        promise="A Grafana that uses LDAP has its LDAP file.",
        why="Nobody could log in, or the file that counts is not the one that was reviewed.",
        sources=("G5",),
        stack=_ldap_wired,
    ),
    Rule(
        id="grafana-provider",
        promise="Resources of the Grafana provider keep the same promises as files.",
        why="What is made through the API counts as much as what is mounted.",
        sources=("G5", "M4"),
        resource=_provider,
    ),
)
