"""Alertmanager's objects: what runs, who reaches whom, where the secrets are, and what the policies say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from components.alertmanager.receivers import FIRST, Contact, phone_file, slack_file
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from services.incident_closer import IncidentCloserSettings as Settings
from tests.support.deployment_context import OF_WHOLE_STACKS
from tests.support.engine import password_of, texts
from tests.unit.alertmanager.stubs import AUTHORITY, CONTACTS, SECRETS, channels, default_build, make

PREREQUISITES = {
    "certificate-authority",
    "image-registry",
    "network-default-deny",
    "namespace-made",
    "failover-agent-exists",
    "watchdog-fires",
}
"""Rules about what the rest of the platform brings."""


def container(name: str = "alertmanager") -> dict[str, Any]:
    containers = default_build().recording.one("StatefulSet", "alertmanager")["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in containers] == ["alertmanager", "incident-closer"]
    return next(dict(entry) for entry in containers if entry["name"] == name)


def options() -> dict[str, list[str]]:
    values_by_option: dict[str, list[str]] = {}
    for word in container()["command"][1:]:
        name, _, value = word.removeprefix("--").partition("=")
        values_by_option.setdefault(name, []).append(value)
    return values_by_option


def secret(name: str) -> dict[str, str]:
    return dict(default_build().recording.one("Secret", name)["stringData"])


def ports(rules: list[dict[str, Any]]) -> list[list[int]]:
    return [sorted(int(port["port"]) for port in rule["ports"]) for rule in rules]


def test_two_run_at_once_each_with_a_volume_for_silences() -> None:
    spec = default_build().recording.one("StatefulSet", "alertmanager")["spec"]
    assert spec["replicas"] == 2
    assert spec["podManagementPolicy"] == "Parallel"
    [claim] = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    mounts = {volume_mount["name"]: volume_mount["mountPath"] for volume_mount in container()["volumeMounts"]}
    assert options()["storage.path"] == [mounts["data"]]
    assert default_build().recording.one("PodDisruptionBudget", "alertmanager")["spec"]["maxUnavailable"] == 1


def test_one_alone_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^alertmanager\.replicas is 1: at least 2, else nobody is notified"):
        make(members=1)


def test_members_find_each_other_by_their_own_names_and_tell_their_own_address() -> None:
    assert options()["cluster.peer"] == [
        f"alertmanager-{index}.alertmanager-headless.ns.svc.cluster.local:9094" for index in (0, 1)
    ]
    assert options()["cluster.advertise-address"] == ["$(POD_IP):9094"]
    assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}} in (
        container()["env"]
    )
    assert default_build().recording.one("Service", "alertmanager-headless")["spec"]["publishNotReadyAddresses"] is True


def test_gossip_lets_only_certificates_of_its_own_workload_in() -> None:
    gossip = yaml.safe_load(default_build().recording.one("ConfigMap", "alertmanager")["data"]["gossip.yml"])
    assert gossip["tls_server_config"]["client_auth_type"] == "RequireAndVerifyClientCert"
    assert gossip["tls_server_config"]["client_allowed_sans"] == ["alertmanager.ns.svc.cluster.local"]
    assert gossip["tls_client_config"]["server_name"] == "alertmanager.ns.svc.cluster.local"
    names = default_build().recording.one("Certificate", "alertmanager")["spec"]["dnsNames"]
    assert "alertmanager.ns.svc.cluster.local" in names


def test_the_api_has_four_users_with_hashes_only() -> None:
    users = yaml.safe_load(secret("alertmanager-web")["web.yml"])["basic_auth_users"]
    assert sorted(users) == ["operator", "probe", "prometheus", "scrape-alertmanager"]
    assert all(value.startswith("$2") for value in users.values())


def test_a_member_is_ready_only_when_it_tells_alerts_so_that_a_roll_finds_one_that_does() -> None:
    delay = int(options()["dispatch.start-delay"][0].removesuffix("s"))
    assert container()["readinessProbe"]["initialDelaySeconds"] > delay


def test_a_probe_shows_no_password_on_its_command_line() -> None:
    for probe in ("startupProbe", "readinessProbe"):
        command = container()[probe]["exec"]["command"]
        assert "--http.config.file=/etc/alertmanager-web/client.yml" in command
        assert password_of("alertmanager-probe") not in json.dumps(command)
    client = yaml.safe_load(secret("alertmanager-web")["client.yml"])
    assert client["basic_auth"]["password_file"] == "/etc/alertmanager-web/client-password"
    assert secret("alertmanager-web")["client-password"] == password_of("alertmanager-probe")


def test_every_secret_of_a_channel_is_a_file_of_its_own() -> None:
    files = secret("alertmanager-receivers")
    assert {phone_file(name): files[phone_file(name)] for name in SECRETS["phone_keys"]} == {
        phone_file(name): key for name, key in SECRETS["phone_keys"].items()
    }
    assert files[slack_file(FIRST)] == SECRETS["slack_urls"][FIRST]
    assert files["mail-password"] == SECRETS["mail_password"]
    assert files["heartbeat-url"] == SECRETS["heartbeat_url"]
    assert files["authority.crt"] == AUTHORITY
    assert files["alert-events-password"] == "password-of-events"
    assert files["aws-credentials"].splitlines() == [
        "[default]",
        f"aws_access_key_id = {SECRETS['sms_access_key_id']}",
        f"aws_secret_access_key = {SECRETS['sms_secret_access_key']}",
    ]


def test_every_file_that_the_configuration_names_is_mounted() -> None:
    config = default_build().recording.one("ConfigMap", "alertmanager")["data"]["alertmanager.yml"]
    named = {
        text.removeprefix("/etc/alertmanager-secrets/")
        for text in texts(yaml.safe_load(config))
        if text.startswith("/etc/alertmanager-secrets/")
    }
    # The credentials of SNS are named by the environment.
    assert named | {"aws-credentials"} == set(secret("alertmanager-receivers"))
    [aws] = [variable for variable in container()["env"] if variable["name"] == "AWS_SHARED_CREDENTIALS_FILE"]
    assert aws["value"] == "/etc/alertmanager-secrets/aws-credentials"


def test_no_secret_is_outside_a_secret() -> None:
    known = [
        *SECRETS["phone_keys"].values(),
        *SECRETS["slack_urls"].values(),
        *(value for value in SECRETS.values() if isinstance(value, str)),
        "password-of-events",
        *default_build().recording.passwords.values(),
    ]
    for manifest in default_build().recording.manifests():
        if manifest["kind"] != "Secret":
            leaked = [value for value in known if any(value in text for text in texts(manifest))]
            assert leaked == [], manifest["kind"]


def test_receivers_of_a_public_authority_need_no_file_of_it() -> None:
    public = make(secrets={**SECRETS, "authority": None}).recording
    assert "authority.crt" not in public.one("ConfigMap", "alertmanager")["data"]["alertmanager.yml"]
    assert public.one("Secret", "alertmanager-receivers")["stringData"]["authority.crt"] == ""


def test_a_contact_that_is_not_called_needs_no_routing_key() -> None:
    keys = {name: key for name, key in SECRETS["phone_keys"].items() if name == FIRST}
    contacts = dict(channels().contacts) | {
        name: channels().contacts["team-leader"] for name in ("senior-manager", "on-call-engineer")
    }
    changed = make(secrets={**SECRETS, "phone_keys": keys}, channels=channels(**contacts)).recording
    files = changed.one("Secret", "alertmanager-receivers")["stringData"]
    assert [name for name in files if name.startswith("phone-")] == [phone_file(FIRST)]


def test_it_receives_gossip_from_itself_and_alerts_and_questions_from_those_who_may() -> None:
    gossip, api, closer = default_build().recording.one("NetworkPolicy", "alertmanager")["spec"]["ingress"]
    assert ports([gossip, api, closer]) == [[9094], [9093], [9095]]
    assert closer["from"] == [{"podSelector": {"matchLabels": {"obs.access/metrics": "true"}}}]
    [own] = gossip["from"]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "alertmanager"
    assert api["from"] == [
        {"podSelector": {"matchLabels": {"obs.access/alertmanager": "true"}}},
        {"podSelector": {"matchLabels": {"obs.access/metrics": "true"}}},
        {"ipBlock": {"cidr": "198.18.0.0/24"}},
    ]


def test_it_reaches_its_peer_the_event_service_the_receivers_and_dns_only() -> None:
    gossip, events, outside, dns = default_build().recording.one("NetworkPolicy", "alertmanager")["spec"]["egress"]
    assert ports([gossip, events, outside, dns]) == [[9094], [8443], [443, 587], [53, 53]]
    assert events["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "alert-events"
    assert [peer["ipBlock"]["cidr"] for peer in outside["to"]] == ["203.0.113.0/24", "198.51.100.7/32"]
    labels = default_build().recording.one("StatefulSet", "alertmanager")["spec"]["template"]["metadata"]["labels"]
    assert labels["obs.access/alert-events"] == "true"


def test_people_and_tools_reach_it_by_a_load_balancer_whose_name_is_in_the_certificate() -> None:
    service = default_build().recording.one("Service", "alertmanager")["spec"]
    assert service["type"] == "LoadBalancer"
    assert service["loadBalancerSourceRanges"] == ["198.18.0.0/24"]
    certificate = default_build().recording.one("Certificate", "alertmanager")["spec"]
    assert "alerts.example.org" in certificate["dnsNames"]
    assert certificate["ipAddresses"] == ["127.0.0.1", "198.18.0.26"]


def test_the_neighbours_are_told_how_to_reach_it() -> None:
    component = default_build().component
    assert component.endpoint.url == "https://198.18.0.26:9093"
    assert component.endpoint.internal_url == "https://alertmanager.ns.svc.cluster.local:9093"
    assert component.endpoint.members == ("alertmanager-0", "alertmanager-1")
    assert component.endpoint.operator.username == "operator"
    assert component.receiver.srv == "_metrics._tcp.alertmanager-headless.ns.svc.cluster.local"
    assert component.receiver.path_prefix == "/"
    assert component.receiver.credential.username == "prometheus"
    assert component.receiver.access_label == component.endpoint.access_label == "obs.access/alertmanager"
    assert component.scrape.credential.username == "scrape-alertmanager"
    assert component.scrape.job == "alertmanager"
    assert options()["web.external-url"] == [component.endpoint.url]


def closer_settings(**changes: Any) -> Settings:
    """The settings of the incident closer, as the closer reads them."""
    recording = make(**changes).recording if changes else default_build().recording
    return Settings.parse(yaml.safe_load(recording.one("ConfigMap", "alertmanager")["data"]["incident-closer.yml"]))


def test_what_closes_incidents_has_a_key_for_each_receiver_that_rings_a_phone() -> None:
    config = yaml.safe_load(default_build().recording.one("ConfigMap", "alertmanager")["data"]["alertmanager.yml"])
    paging = {
        receiver["name"]: receiver["pagerduty_configs"]
        for receiver in config["receivers"]
        if "pagerduty_configs" in receiver
    }
    settings = closer_settings()
    assert {name: str(receiver.key_file) for name, receiver in settings.receivers.items()} == {
        name: entry["routing_key_file"] for name, (entry,) in paging.items()
    }
    assert {settings.pager.url} == {entry["url"] for (entry,) in paging.values()}
    assert str(settings.pager.ca_file) == "/etc/alertmanager-secrets/authority.crt"
    assert closer_settings(secrets={**SECRETS, "authority": None}).pager.ca_file is None


def test_what_closes_incidents_asks_its_own_member_and_has_every_file_that_it_names() -> None:
    settings, mounts = (
        closer_settings(),
        {volume_mount["mountPath"] for volume_mount in container("incident-closer")["volumeMounts"]},
    )
    assert settings.alertmanager.url == "https://localhost:9093"
    assert "localhost" in default_build().recording.one("Certificate", "alertmanager")["spec"]["dnsNames"]
    files = {
        "/etc/alertmanager-web": set(secret("alertmanager-web")),
        "/etc/alertmanager-secrets": set(secret("alertmanager-receivers")),
        "/etc/tls": {"tls.crt", "tls.key", "ca.crt"},
    }
    named = [settings.cert_file, settings.key_file, settings.alertmanager.ca_file, settings.alertmanager.password_file]
    named += [settings.metrics.password_file, *(receiver.key_file for receiver in settings.receivers.values())]
    for path in named:
        assert str(path.parent) in mounts
        assert path.name in files[str(path.parent)]
    assert settings.alertmanager.user in yaml.safe_load(secret("alertmanager-web")["web.yml"])["basic_auth_users"]


def test_the_metrics_of_what_closes_incidents_are_a_job_of_their_own_with_a_password_of_their_own() -> None:
    scrape, settings = default_build().component.closer_scrape, closer_settings()
    assert (scrape.job, scrape.port) == ("incident-closer", settings.listen_port)
    assert scrape.srv == "_closer._tcp.alertmanager-headless.ns.svc.cluster.local"
    assert scrape.credential.username == settings.metrics.user == "scrape-incident-closer"
    assert secret("alertmanager-web")["closer-password"] == password_of("scrape-incident-closer")
    named = {
        port["name"]: port["port"]
        for port in default_build().recording.one("Service", "alertmanager-headless")["spec"]["ports"]
    }
    assert named["closer"] == scrape.port


def test_the_policies_have_nothing_to_say_about_it() -> None:
    manager = Contact(mail="senior@example.org", phone=True, sms_topic="arn:aws:sns:ap-northeast-1:000000000000:senior")
    placed = make(channels=channels(**{**CONTACTS, "senior-manager": manager}))
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in placed.recording.resources]
    rules = [rule for rule in RULES if rule.id not in PREREQUISITES | OF_WHOLE_STACKS]
    assert [verdict.message for verdict in Runner(rules=rules, agreed=[]).all(resources)] == []


@pytest.mark.parametrize(
    ("rule", "option", "instead"),
    [
        ("alertmanager-cluster", "--cluster.tls-config=", None),
        ("alertmanager-web", "--web.config.file=", None),
        ("alertmanager-configured", "--config.file=", None),
        ("alertmanager-storage", "--storage.path=", "--storage.path=/tmp"),
    ],
)
def test_the_policies_notice_when_an_option_is_taken_away(rule: str, option: str, instead: str | None) -> None:
    resources = []
    for resource in default_build().recording.resources:
        inputs = json.loads(json.dumps(resource.inputs))
        if resource.token == "kubernetes:apps/v1:StatefulSet":
            first_container, _ = inputs["spec"]["template"]["spec"]["containers"]
            words = [instead if word.startswith(option) else word for word in first_container["command"]]
            first_container["command"] = [word for word in words if word is not None]
        resources.append(Resource(resource.token, resource.name, inputs))
    rules = [known_rule for known_rule in RULES if known_rule.id == rule]
    assert [verdict.rule.id for verdict in Runner(rules=rules, agreed=[]).all(resources)] == [rule]
