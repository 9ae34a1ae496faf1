"""The objects of the failover agent in the cluster, its settings as the program reads them, and every policy."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
import yaml

from components.dashboards.promql import metrics
from components.regions import FailoverAgent
from components.regions.rules import LEASE_LIMIT_S, PEER_LIMIT_S, RULES
from components.versions import IMAGES
from services.failover_agent import FailoverAgentSettings
from services.failover_agent import __main__ as agent_metrics
from tests.support.engine import Recording
from tests.unit.k8s.namespaces import in_namespace, violations
from tests.unit.regions.stubs import FINGERPRINTS, alertmanager, arguments, recorded, witness


@pytest.fixture(scope="module")
def component() -> tuple[Recording, FailoverAgent]:
    return recorded()


@pytest.fixture(scope="module")
def recording(component: tuple[Recording, FailoverAgent]) -> Recording:
    return component[0]


def written(recording: Recording) -> FailoverAgentSettings:
    return FailoverAgentSettings.parse(
        yaml.safe_load(recording.one("ConfigMap", "failover-agent")["data"]["config.yaml"])
    )


def reached(recording: Recording) -> set[tuple[str, int]]:
    """Peers and ports that it may connect to, DNS aside."""
    return {
        (
            peer.get("ipBlock", {}).get("cidr") or peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
            port["port"],
        )
        for rule in recording.one("NetworkPolicy", "failover-agent")["spec"]["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
        if port["port"] != 53
    }


def test_the_failover_agent_accepts_its_settings(recording: Recording) -> None:
    settings = written(recording)
    assert (settings.region, settings.role, settings.peer) == ("one", "primary", "two")
    assert (settings.witness.bucket, settings.witness.endpoint) == ("witness", "https://witness.example.com:8444")
    assert settings.egress_addresses == (("203.0.113.7", 8443), ("203.0.113.8", 8587))
    assert dict(settings.fingerprints) == FINGERPRINTS
    assert (settings.listen_port, settings.metrics.user) == (8443, "scrape-failover-agent")
    # A region that lost the lease falls silent before one that is cut off does by itself.
    assert settings.poll_interval_s < settings.heartbeat_interval_s < settings.isolated_s


def test_every_alertmanager_is_reached_by_its_own_address_and_known_by_the_name_in_its_certificate(
    recording: Recording,
) -> None:
    alertmanagers = written(recording).alertmanagers
    assert alertmanagers.urls == tuple(
        f"https://alertmanager-{number}.alertmanager-headless.obs.svc.cluster.local:9093" for number in range(2)
    )
    assert alertmanagers.server_name == "alertmanager.obs.svc.cluster.local"
    assert alertmanagers.login.user == "operator"
    three, _ = recorded(lambda: {"alertmanager": alertmanager(3)})
    assert len(written(three).alertmanagers.urls) == 3


def test_a_standby_says_so_and_a_region_without_another_one_has_no_peer() -> None:
    standby, _ = recorded(lambda: {"leads": False})
    assert written(standby).role == "standby"
    alone, _ = recorded(lambda: {"peer": None})
    assert written(alone).peer is None


def test_what_public_authorities_vouch_for_needs_no_file() -> None:
    public, _ = recorded(lambda: {"witness": witness("", None)})
    storage = written(public).witness
    assert (storage.endpoint, storage.ca_file) == (None, None)


def test_digests_may_come_from_what_is_not_known_at_first() -> None:
    later, _ = recorded(lambda: {"fingerprints": {"rules": pulumi.Output.from_input("c" * 64)}})
    assert dict(written(later).fingerprints) == {"rules": "c" * 64}


def test_every_file_that_the_failover_agent_reads_is_mounted_and_no_other_secret(recording: Recording) -> None:
    settings = written(recording)
    files = {
        settings.witness.access_key_id_file,
        settings.witness.secret_access_key_file,
        settings.witness.ca_file,
        settings.alertmanagers.login.password_file,
        settings.metrics.password_file,
    }
    held = recording.one("Secret", "failover-agent-auth")["stringData"]
    assert {file.name for file in files if file} == set(held)
    assert held["alertmanager-password"] == "password-of-operator"
    spec = recording.one("Deployment", "failover-agent")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    folders = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(file.parent) for file in files if file} <= folders
    assert {str(settings.cert_file.parent), str(settings.alertmanagers.ca_file.parent)} <= folders


def test_it_runs_once_and_an_old_one_has_gone_before_a_new_one_starts(recording: Recording) -> None:
    spec = recording.one("Deployment", "failover-agent")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    [container] = spec["template"]["spec"]["containers"]
    assert container["command"][-4:] == ["-m", "services.failover_agent", "--config", "/etc/failover-agent/config.yaml"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_its_image_has_what_reads_an_object_storage(recording: Recording) -> None:
    [container] = recording.one("Deployment", "failover-agent")["spec"]["template"]["spec"]["containers"]
    assert container["image"].removeprefix("registry.example/") == IMAGES["backup"]


def test_it_reaches_witness_pagers_and_alertmanager_and_only_scrapers_reach_it(
    component: tuple[Recording, FailoverAgent],
) -> None:
    recording, agent = component
    pagers = {(f"203.0.113.{number}/32", port) for number in (7, 8) for port in (8443, 8587)}
    assert reached(recording) == {("alertmanager", 9093), ("203.0.113.9/32", 8444), *pagers}
    labels = recording.one("Deployment", "failover-agent")["spec"]["template"]["metadata"]["labels"]
    assert {label for label in labels if label.startswith("obs.access/")} == {"obs.access/alertmanager"}
    [ingress] = recording.one("NetworkPolicy", "failover-agent")["spec"]["ingress"]
    assert [peer["podSelector"]["matchLabels"] for peer in ingress["from"]] == [{"obs.access/metrics": "true"}]
    assert (agent.scrape.job, agent.scrape.port) == ("failover-agent", ingress["ports"][0]["port"])


def test_passwords_are_in_secrets_only(recording: Recording) -> None:
    values = {value for manifest in recording.kinds("Secret") for value in manifest["stringData"].values()}
    assert "secret-key-of-witness" in values
    everything_else = str([manifest for manifest in recording.manifests() if manifest["kind"] != "Secret"])
    for value in values:
        assert value not in everything_else
        assert base64.b64encode(value.encode()).decode() not in everything_else


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peer": "one"}, "the peer is 'one', which is this region: name the other one"),
        ({"leads": False, "peer": None}, "a standby has no peer: name the region that it stands by for"),
        ({"egress_targets": ()}, "egress_targets is empty: name host:port of the pagers"),
        ({"egress_targets": ("203.0.113.7",)}, "egress_targets has '203.0.113.7': write host:port"),
        (
            {"egress_targets": ("203.0.113.7:443",)},
            "'203.0.113.7:443', whose port is not open: it must be one of 8443, 8587",
        ),
        ({"networks": ()}, "no network of the pagers is named, so none could be reached"),
    ],
)
def test_a_mistake_in_the_arguments_says_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded(lambda: changes)


def test_a_region_without_alertmanager_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no Alertmanager that could follow the lease"):
        recorded(lambda: {"alertmanager": alertmanager(0)})


def test_the_agents_silence_never_hides_an_alert_about_the_failover_agent() -> None:
    for alert in (alert for group in RULES for alert in group.alerts):
        assert "layer" not in alert.labels, alert.name
        assert "layer" not in alert.expr, alert.name


def test_the_failover_agent_tells_every_series_that_its_alerts_ask_for() -> None:
    metric_names = set().union(*(metrics(alert.expr) for group in RULES for alert in group.alerts)) - {"up"}
    source = inspect.getsource(agent_metrics)
    assert sorted(name for name in metric_names if f'"{name.removesuffix("_total")}"' not in source) == []
    assert len(metric_names) >= 8


def test_an_alert_is_raised_only_after_the_failover_agent_itself_had_time(recording: Recording) -> None:
    settings = written(recording)
    assert settings.isolated_s < PEER_LIMIT_S < LEASE_LIMIT_S
    assert settings.heartbeat_interval_s * 5 <= PEER_LIMIT_S


def in_its_namespace(changes: Callable[[], dict[str, Any]] = dict) -> list[str]:
    """What the whole policy pack says about it."""

    return violations(in_namespace(lambda lab: FailoverAgent("failover-agent", arguments(lab, **changes()))))


def test_in_its_namespace_it_passes_every_policy() -> None:
    assert in_its_namespace() == []
