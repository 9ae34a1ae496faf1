"""The logins in front of metrics and alerts: what runs, who reaches whom, where the secrets are."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from components.login_proxy import OauthConfig, oauth_options, structured_command, structured_config
from components.signin import ALERTS_LOGIN, LOGINS, METRICS_LOGIN, REQUESTS
from stacks.settings import SettingsError, parse
from tests.support import engine
from tests.support.engine import Recording

BEHIND = {METRICS_LOGIN: ("thanos-query", 9090), ALERTS_LOGIN: ("alertmanager", 9093)}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return engine.recorded("local")


def page(login: str) -> dict[str, Any]:
    """What the stack file says of a login."""
    section: dict[str, Any] = engine.stack_settings("local")["sign_in"][login.partition("-")[0]]
    return section


def pod(recording: Recording, login: str) -> dict[str, Any]:
    spec: dict[str, Any] = recording.one("Deployment", login)["spec"]["template"]["spec"]
    return spec


def structured(recording: Recording, login: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(recording.one("ConfigMap", login)["data"]["structured.yaml"])
    return content


@pytest.mark.parametrize("login", LOGINS)
def test_logins_run_twice_with_a_disruption_budget_and_restricted(recording: Recording, login: str) -> None:
    assert recording.one("Deployment", login)["spec"]["replicas"] == 2
    assert recording.one("PodDisruptionBudget", login)["spec"]["maxUnavailable"] == 1
    spec = pod(recording, login)
    assert spec["securityContext"]["runAsNonRoot"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["livenessProbe"]
    assert container["readinessProbe"]
    assert "env" not in container


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_reaches_its_server_its_provider_and_dns_only(recording: Recording, login: str) -> None:
    spec = recording.one("NetworkPolicy", login)["spec"]
    workload, port = BEHIND[login]
    server, provider = spec["egress"][:2]
    assert server["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == workload
    assert [one["port"] for one in server["ports"]] == [port]
    assert provider["to"] == [{"ipBlock": {"cidr": "198.18.0.2/32"}}]
    assert sorted(one["port"] for rule in spec["egress"] for one in rule["ports"]) == sorted([53, 53, port, 8445])
    networks = [peer["ipBlock"]["cidr"] for peer in spec["ingress"][0]["from"] if "ipBlock" in peer]
    assert networks == page(login)["client_cidrs"]
    labels = recording.one("Deployment", login)["spec"]["template"]["metadata"]["labels"]
    assert labels[f"obs.access/{workload}"] == "true"


@pytest.mark.parametrize("login", LOGINS)
def test_the_groups_of_the_stack_file_are_let_in(recording: Recording, login: str) -> None:
    content = structured(recording, login)
    (provider,) = content["providers"]
    assert provider["allowedGroups"] == page(login)["groups"]
    assert provider["code_challenge_method"] == "S256"
    assert provider["caFiles"] == ["/etc/tls/ca.crt", "/etc/oauth2-proxy/provider-ca.crt"]
    assert not provider["useSystemTrustStore"]
    workload, port = BEHIND[login]
    (upstream,) = content["upstreamConfig"]["upstreams"]
    assert upstream["uri"] == f"https://{workload}.obs-local.svc.cluster.local:{port}"
    assert not upstream["insecureSkipTLSVerify"]


@pytest.mark.parametrize("login", LOGINS)
def test_the_login_behind_is_a_user_of_its_own_and_in_a_secret_only(recording: Recording, login: str) -> None:
    workload, _ = BEHIND[login]
    password = recording.passwords[f"{workload}-people"]
    secret = recording.one("Secret", f"{login}-login")["stringData"]
    expected = base64.b64encode(f"people:{password}".encode()).decode()
    assert secret["upstream-authorization"] == f"Basic {expected}"
    web = yaml.safe_load(recording.one("Secret", f"{workload}-web")["stringData"]["web.yml"])
    assert "people" in web["basic_auth_users"]
    for manifest in recording.manifests():
        if manifest["kind"] != "Secret":
            assert not [text for text in engine.texts(manifest) if password in text or expected in text]


def test_people_are_led_to_the_logins(recording: Recording) -> None:
    hosts = {login: page(login)["host"] for login in LOGINS}
    assert recording.outputs["sign_in_urls"] == {login: f"https://{host}:4180" for login, host in hosts.items()}
    command = recording.one("StatefulSet", "alertmanager")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert f"--web.external-url=https://{hosts[ALERTS_LOGIN]}:4180" in command


@pytest.mark.parametrize("login", LOGINS)
def test_each_pod_and_the_page_are_probed(recording: Recording, login: str) -> None:
    settings = yaml.safe_load(recording.one("ConfigMap", "prometheus-primary")["data"]["prometheus.yml"])
    text = yaml.safe_dump([job for job in settings["scrape_configs"] if job["job_name"].startswith("probe")])
    assert f"_https._tcp.{login}-headless.obs-local.svc.cluster.local" in text
    assert f"https://{login}.obs-local.svc.cluster.local:4180/api/" in text


@pytest.mark.parametrize("login", LOGINS)
def test_the_audit_log_follows_each_login(recording: Recording, login: str) -> None:
    followed = yaml.safe_load(recording.one("ConfigMap", "audit")["data"]["config.yaml"])["followed"]
    source = login.partition("-")[0]
    assert {"source": source, "workload": login, "container": "oauth2-proxy"} in followed


def test_without_the_section_there_is_no_login_and_no_user_of_it() -> None:
    settings = engine.stack_settings("local")
    settings["sign_in"] = None
    recording = engine.record("local", settings)
    names = {manifest["metadata"]["name"] for manifest in recording.manifests()}
    assert not names & set(LOGINS)
    assert not [name for name in recording.passwords if name.endswith("-people")]
    assert recording.outputs["sign_in_urls"] == {}
    host = settings["alerting"]["external_endpoint"]["host"]
    command = recording.one("StatefulSet", "alertmanager")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert f"--web.external-url=https://{host}:9093" in command


def test_a_login_needs_a_group_and_a_provider() -> None:
    settings = engine.stack_settings("local")
    settings["sign_in"]["alerts"]["groups"] = []
    with pytest.raises(SettingsError, match=r"settings\.sign_in\.alerts\.groups"):
        parse(settings, "Pulumi.local.yaml")
    settings = engine.stack_settings("local")
    settings["traces"] = {"groups": {}, "queries": {}, "identity": None}
    with pytest.raises(SettingsError, match=r"null for sign_in where traces\.identity is null"):
        parse(settings, "Pulumi.local.yaml")


def _config(**changed: Any) -> OauthConfig:
    settings: dict[str, Any] = {
        "issuer": "https://login.example.com",
        "client_id": "jaeger",
        "url": "https://metrics.example.com:4180",
        "upstream": "https://query:9090",
        "groups": ["metrics-readers"],
        "cookie_name": METRICS_LOGIN,
        "requests": REQUESTS[METRICS_LOGIN],
        "private_authority": True,
    }
    return OauthConfig(**{**settings, **changed})


def test_a_public_provider_is_verified_by_public_authorities_and_the_server_by_ours_too() -> None:
    (provider,) = structured_config(_config(private_authority=False))["providers"]
    assert provider["caFiles"] == ["/etc/tls/ca.crt"]
    assert provider["useSystemTrustStore"]


def test_what_is_in_the_structured_file_is_not_in_the_command_line() -> None:
    names = {word.partition("=")[0].removeprefix("--") for word in structured_command(_config())[1:]}
    options = oauth_options(_config())
    assert names >= {"alpha-config", "redirect-url", "cookie-secret-file", "request-logging-format", "api-route"}
    assert names - {"alpha-config"} < set(options)
    moved = set(options) - names
    assert {"upstream", "allowed-group", "client-secret-file", "https-address", "pass-basic-auth"} <= moved
    assert {name for name in options if name.startswith(("cookie-", "skip-j", "session-"))} <= names
