"""Grafana's objects: what runs, who reaches whom, where the secrets are, and what the policies say."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.contracts import TraceReaderEndpoint
from components.k8s import Autoscale
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.engine import Recorded, password_of, texts
from tests.unit.grafana.stubs import (
    AUTHORITY,
    DIRECTORY_SECRETS,
    arguments,
    database,
    default_build,
    findings,
    login,
    make,
    oidc,
)

WITH_OIDC = {"address": None, "hosts": ["grafana.example.org"]}


def spec() -> dict[str, Any]:
    statefulset_spec: dict[str, Any] = default_build().recording.one("StatefulSet", "grafana")["spec"]
    return statefulset_spec


def container() -> dict[str, Any]:
    [grafana_container] = spec()["template"]["spec"]["containers"]
    return dict(grafana_container)


def secrets() -> dict[str, str]:
    return dict(default_build().recording.one("Secret", "grafana-secrets")["stringData"])


def egress(**changes: Any) -> list[tuple[str, list[int]]]:
    """Whom it reaches, and on which ports, DNS left out."""
    rules = make(lambda: changes).recording.one("NetworkPolicy", "grafana")["spec"]["egress"][:-1]
    return [
        (
            peer["ipBlock"]["cidr"]
            if "ipBlock" in peer
            else peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            [int(port["port"]) for port in rule["ports"]],
        )
        for rule in rules
        for peer in rule["to"]
    ]


def test_one_replica_starts_after_the_other_so_that_one_migrates_the_database() -> None:
    assert spec()["podManagementPolicy"] == "OrderedReady"
    assert spec()["replicas"] == 2
    assert spec()["updateStrategy"] == {"type": "RollingUpdate"}
    assert default_build().recording.one("PodDisruptionBudget", "grafana")["spec"]["maxUnavailable"] == 1


def test_the_first_migration_may_take_minutes_and_a_database_that_is_away_restarts_nobody() -> None:
    startup = container()["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    for probe in ("startupProbe", "livenessProbe"):
        assert container()[probe]["httpGet"] == {"path": "/healthz", "port": 3000, "scheme": "HTTPS"}
    assert container()["readinessProbe"]["httpGet"]["path"] == "/api/health"


def test_replicas_keep_nothing_of_their_own() -> None:
    assert not spec().get("volumeClaimTemplates")
    written = [
        volume_mount["mountPath"] for volume_mount in container()["volumeMounts"] if not volume_mount["readOnly"]
    ]
    assert written == ["/var/lib/grafana/data", "/tmp"]
    assert {"name": "GF_PATHS_DATA", "value": "/var/lib/grafana/data"} in container()["env"]


def test_one_alone_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^grafana\.replicas is 1: at least 2, else nobody sees dashboards"):
        arguments(replicas=1)


def test_the_program_is_started_with_its_own_command_line() -> None:
    assert container()["command"] == [
        "/usr/share/grafana/bin/grafana",
        "server",
        "--homepath=/usr/share/grafana",
        "--config=/etc/grafana/grafana.ini",
    ]


def test_an_autoscaler_owns_the_number_of_replicas_where_it_is_asked_for() -> None:
    scaled = make(lambda: {"autoscale": Autoscale(minimum=2, maximum=6, cpu_percent=70)}).recording
    scaler = scaled.one("HorizontalPodAutoscaler", "grafana")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "grafana"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert default_build().recording.kinds("HorizontalPodAutoscaler") == []


def test_every_file_that_the_configuration_names_is_mounted_there() -> None:
    mounts = {volume_mount["mountPath"]: volume_mount for volume_mount in container()["volumeMounts"]}
    assert mounts["/etc/grafana/grafana.ini"]["subPath"] == "grafana.ini"
    assert mounts["/etc/grafana/ldap.toml"]["subPath"] == "ldap.toml"
    assert {"/etc/grafana/provisioning/datasources", "/etc/grafana-secrets", "/etc/tls"} <= set(mounts)
    public = [
        *default_build().recording.one("ConfigMap", "grafana")["data"].values(),
        *default_build().recording.one("ConfigMap", "grafana-sources")["data"].values(),
    ]
    named = {part.split("}")[0].split('"')[0] for text in public for part in text.split("/etc/grafana-secrets/")[1:]}
    assert named == set(secrets())


def test_each_secret_is_a_file_of_its_own() -> None:
    assert secrets() == {
        "admin": password_of("grafana-administrator"),
        "database": "password-of-grafana-database",
        "secret-key": password_of("grafana-secret-key"),
        "scrape": password_of("scrape-grafana"),
        "ldap-bind": DIRECTORY_SECRETS["bind_password"],
        "directory-ca.pem": AUTHORITY,
        "source-metrics": "password-of-reader",
        "source-alerts": "password-of-operator",
        "source-logs": "password-of-grafana-search",
    }


def test_no_secret_is_outside_a_secret() -> None:
    known = [*secrets().values(), *default_build().recording.passwords.values()]
    for manifest in default_build().recording.manifests():
        if manifest["kind"] != "Secret":
            assert [value for value in known if any(value in text for text in texts(manifest))] == [], manifest["kind"]


def test_browsers_programs_and_prometheus_come_in_and_nobody_else() -> None:
    [rule] = default_build().recording.one("NetworkPolicy", "grafana")["spec"]["ingress"]
    assert [int(port["port"]) for port in rule["ports"]] == [3000]
    assert rule["from"] == [
        {"podSelector": {"matchLabels": {"obs.access/grafana": "true"}}},
        {"podSelector": {"matchLabels": {"obs.access/metrics": "true"}}},
        {"ipBlock": {"cidr": "198.18.0.0/24"}},
    ]


def test_it_reaches_its_database_the_directory_its_data_sources_and_nothing_else() -> None:
    assert egress() == [
        ("postgres", [5432]),
        ("198.18.0.2/32", [8636]),
        ("thanos-query", [10902]),
        ("alertmanager", [9093]),
        ("search", [9200]),
    ]
    labels = spec()["template"]["metadata"]["labels"]
    assert {name for name in labels if name.startswith("obs.access/")} == {
        "obs.access/postgres",
        "obs.access/thanos-query",
        "obs.access/alertmanager",
        "obs.access/search",
    }


def test_a_database_elsewhere_is_reached_by_its_networks_and_verified_by_public_authorities() -> None:
    outside = database(
        host="db.example.net", authority="", workload=None, networks=("203.0.113.8/32",), access_label=None
    )
    assert egress(database=outside)[0] == ("203.0.113.8/32", [5432])
    text = make(lambda: {"database": outside}).file("ConfigMap", "grafana", "grafana.ini")
    assert "ca_cert_path = /etc/ssl/certs/ca-certificates.crt\nserver_cert_name = db.example.net" in text


def test_a_database_elsewhere_may_have_an_authority_of_its_own() -> None:
    outside = database(
        host="db.example.net", authority="PEM of an authority", workload=None, networks=("203.0.113.8/32",)
    )
    build = make(lambda: {"database": outside})
    text = build.file("ConfigMap", "grafana", "grafana.ini")
    assert "ca_cert_path = /etc/grafana-secrets/database-ca.pem\nserver_cert_name = db.example.net" in text
    assert build.file("Secret", "grafana-secrets", "database-ca.pem") == "PEM of an authority"


def test_a_provider_is_reached_and_its_secret_is_a_file() -> None:
    changed = make(lambda: {"oidc": oidc(), **WITH_OIDC})
    assert changed.file("Secret", "grafana-secrets", "oidc-client") == "password-of-oidc-client"
    assert "password-of-oidc-client" not in changed.file("ConfigMap", "grafana", "grafana.ini")
    assert egress(oidc=oidc(), **WITH_OIDC)[-1] == ("203.0.113.0/24", [443])


def test_people_reach_it_by_a_load_balancer_whose_names_are_in_the_certificate() -> None:
    service = default_build().recording.one("Service", "grafana")["spec"]
    assert service["type"] == "LoadBalancer"
    assert service["loadBalancerIP"] == "198.18.0.27"
    assert service["loadBalancerSourceRanges"] == ["198.18.0.0/24"]
    assert "sessionAffinity" not in service
    certificate = default_build().recording.one("Certificate", "grafana")["spec"]
    assert {"grafana.example.org", "grafana.ns.svc.cluster.local"} <= set(certificate["dnsNames"])
    assert certificate["ipAddresses"] == ["127.0.0.1", "198.18.0.27"]


def test_the_neighbours_are_told_how_to_reach_it() -> None:
    component = default_build().component
    assert component.endpoint.url == "https://grafana.example.org:3000"
    assert component.endpoint.internal_url == "https://grafana.ns.svc.cluster.local:3000"
    assert component.endpoint.administrator.username == "platform-administrator"
    assert component.endpoint.access_label == "obs.access/grafana"
    assert len(component.endpoint.after) == 2
    assert component.scrape.job == "grafana"
    assert component.scrape.srv == "_metrics._tcp.grafana-headless.ns.svc.cluster.local"
    assert component.scrape.credential.username == "scrape-grafana"


def test_traces_without_a_login_of_anybody_are_refused_in_one_line() -> None:
    reader = TraceReaderEndpoint(url="https://jaeger.ns.svc.cluster.local:4180", access_label=None, user=None)
    with pytest.raises(ValueError, match=r"^grafana\.traces has no user and people do not come with a token"):
        arguments(traces=reader)
    with pytest.raises(ValueError, match="leave traces out"):
        arguments(traces=reader, oidc=oidc(), **WITH_OIDC)
    assert arguments(traces=reader, oidc=oidc(forwarded=True), **WITH_OIDC).traces is reader


def test_a_traces_reader_with_a_login_is_one_more_data_source() -> None:
    reader = TraceReaderEndpoint(
        url="https://jaeger-reader.ns.svc.cluster.local:16686",
        access_label="obs.access/jaeger-reader",
        user=login("grafana-traces"),
    )
    assert egress(traces=reader)[-1] == ("jaeger-reader", [16686])
    changed = make(lambda: {"traces": reader})
    assert changed.file("Secret", "grafana-secrets", "source-traces") == "password-of-grafana-traces"
    assert findings(changed.recording) == []


@pytest.mark.parametrize(
    "changes",
    [{}, {"oidc": True}, {"logs": None, "trace_pages": None}, {"directory_secrets": {"authority": ""}}],
    ids=["usual", "with a provider", "without logs", "public directory"],
)
def test_the_policies_have_nothing_to_say_about_it(changes: dict[str, Any]) -> None:
    if "oidc" in changes:
        changes = {"oidc": oidc(), **WITH_OIDC}
    if "directory_secrets" in changes:
        changes = {"directory_secrets": {**DIRECTORY_SECRETS, **changes["directory_secrets"]}}
    assert findings(make(lambda: changes).recording) == []


@pytest.mark.parametrize(
    ("rule", "line", "instead"),
    [
        ("grafana-tls", "protocol = https", "protocol = http"),
        ("grafana-database", "ssl_mode = verify-full", "ssl_mode = require"),
        ("grafana-database", "type = postgres", "type = sqlite3"),
        ("grafana-login", "[auth.anonymous]\nenabled = false", "[auth.anonymous]\nenabled = true"),
        ("grafana-browser", "cookie_samesite = strict", "cookie_samesite = lax"),
        ("grafana-sharing", "[public_dashboards]\nenabled = false", "[public_dashboards]\nenabled = true"),
        ("grafana-alerting", "[unified_alerting]\nenabled = false", "[unified_alerting]\nenabled = true"),
        ("grafana-secrets", "$__file{/etc/grafana-secrets/admin}", "secret-of-everybody"),
        ("grafana-ldap", "use_ssl = true", "use_ssl = false"),
        ("grafana-datasource-tls", "tlsSkipVerify: false", "tlsSkipVerify: true"),
        ("grafana-datasource-login", "basicAuth: true", "basicAuth: false"),
    ],
)
def test_the_policies_notice_when_a_protection_is_taken_away(rule: str, line: str, instead: str) -> None:
    def spoiled(recorded: Recorded) -> dict[str, Any]:
        inputs = json.loads(json.dumps(recorded.inputs))
        if recorded.token == "kubernetes:core/v1:ConfigMap":
            inputs["data"] = {name: text.replace(line, instead) for name, text in inputs["data"].items()}
        return dict(inputs)

    resources = [
        Resource(resource.token, resource.name, spoiled(resource)) for resource in default_build().recording.resources
    ]
    [checked] = [known_rule for known_rule in RULES if known_rule.id == rule]
    assert {verdict.rule.id for verdict in Runner(rules=[checked], agreed=[]).all(resources)} == {rule}


def test_what_depends_on_the_database_waits_for_it() -> None:
    waiting: list[pulumi.Resource] = []

    def change() -> dict[str, Any]:
        waiting.append(pulumi.ComponentResource("obs:test:Database", "database"))
        return {"database": database(after=tuple(waiting))}

    names = [resource.name for resource in make(change).recording.resources]
    assert names.index("database") < len(names) - 1 - names[::-1].index("grafana")
