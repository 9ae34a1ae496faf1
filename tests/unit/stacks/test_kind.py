"""The smallest stack file: no cloud, no directory, no channel, no second region; and what it says of that."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.alerting.escalation import ESCALATION_LABEL
from components.backups.config import public_key
from lab.paths import CHECKOUT
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from policy.stack_config import stack_options
from stacks.check import not_promised
from stacks.secrets import needed
from stacks.settings import Settings, SettingsError, parse
from tests.support import engine
from tests.support.engine import Recording

STACK = "kind"
NOT_BACKED_UP = "the search cluster is not backed up: Kafka has its traces and logs for days only"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse(engine.stack_settings(STACK), f"Pulumi.{STACK}.yaml")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return engine.recorded(STACK)


def _options(folder: Path) -> dict[str, Any]:
    """What the pack takes from the stack file of a folder."""
    return {rule.id: stack_options(rule.id, f"urn:pulumi:{STACK}::observability::x::y", folder) for rule in RULES}


def _violated(recording: Recording, options: dict[str, Any]) -> set[str]:
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    return {verdict.rule.id for verdict in Runner(options).all(resources) if not verdict.agreed}


def test_the_whole_pack_holds_for_what_the_file_sets_up(recording: Recording) -> None:
    assert _violated(recording, _options(CHECKOUT)) == set()


@pytest.mark.parametrize(("key", "value"), [("networks", ["203.0.113.0/24"]), ("ports", [443])])
def test_networks_of_receivers_go_with_their_ports(key: str, value: list[object]) -> None:
    settings = engine.stack_settings(STACK)
    settings["alerting"] = {**settings["alerting"], "networks": [], "ports": [], key: value}
    with pytest.raises(SettingsError, match="the receivers' networks and their ports together, or neither"):
        parse(settings, f"Pulumi.{STACK}.yaml")


def test_production_may_leave_none_of_it_out_unasked(recording: Recording, tmp_path: Path) -> None:
    content = {"config": {"observability:settings": {**engine.stack_settings(STACK), "profile": "production"}}}
    (tmp_path / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(content))
    assert _violated(recording, _options(tmp_path)) == {
        "alert-escalates",
        "alert-reaches-people",
        "alertmanager-critical-ways",
        "alertmanager-receivers",
        "backup-store-encrypted",
        "failover-agent-exists",
        "storage-key-of-role",
        "watchdog-leaves",
    }


def test_each_thing_that_is_left_out_is_one_line(settings: Settings, recording: Recording) -> None:
    lines = [line.removeprefix("settings.") for line in not_promised(settings)]
    assert [line.partition(": ")[0] for line in lines] == [
        *4 * ["alerting.contacts"],
        "alerting.heartbeat",
        "cluster.kubelets",
        "reports.recipients",
        "grafana.ldap",
        "traces.identity",
        "sign_in",
        "object_storage.roles",
        "object_storage.encryption",
        "audit.cluster",
        "regions.witness",
    ]
    assert recording.outputs["not_promised"] == not_promised(settings)
    assert "critical and high and medium alerts are sent to nobody (requirement 6.2)" in lines[0]


@pytest.mark.parametrize(
    ("engine_name", "search", "told"),
    [
        ("opensearch", "export", []),
        ("opensearch", None, [f"settings.backups.search: {NOT_BACKED_UP} (requirement D1)"]),
        ("elasticsearch", "export", []),
        ("elasticsearch", None, [f"settings.backups.search: {NOT_BACKED_UP} (requirement D1)"]),
    ],
)
def test_a_search_cluster_without_a_backup_is_said(engine_name: str, search: str | None, told: list[str]) -> None:
    content = engine.stack_settings(STACK)
    content["search"]["engine"], content["backups"]["search"] = engine_name, search
    lines = not_promised(parse(content, f"Pulumi.{STACK}.yaml"))
    assert [line for line in lines if line.startswith("settings.backups.search: ")] == told


def test_a_search_cluster_that_is_not_backed_up_has_no_job_and_nobody_waits_for_one(tmp_path: Path) -> None:
    content = engine.stack_settings(STACK)
    content["backups"]["search"] = None
    bare = engine.record(STACK, content)
    assert "backup-search" not in {job["metadata"]["name"] for job in bare.kinds("CronJob")}
    assert bare.outputs["backups"]["search"] is None
    (tmp_path / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": {"observability:settings": content}}))
    assert _violated(bare, _options(tmp_path)) == set()
    assert _violated(bare, _options(CHECKOUT)) == {"backup-search-exists"}, "the file of the stack says nothing of it"


def test_operators_know_the_key_that_signs_and_seal_the_state(recording: Recording) -> None:
    backups = recording.outputs["backups"]
    assert backups["signing_keys"] == [public_key(recording.passwords["backup-signing"])]
    assert backups["state_seal_key"] == recording.passwords["backup-seal-pulumi-state"]
    assert recording.passwords["backup-signing"] not in str(recording.outputs)


def test_its_secrets_are_those_of_the_object_storage(settings: Settings) -> None:
    assert [secret.key for secret in needed(settings)] == ["objectStorageSecrets", "backupRecipients"]


def _encryption(recording: Recording) -> dict[str, object]:
    """Secret of the object storage -> how it is asked to encrypt; every workload of Thanos has one."""
    files = {
        secret["metadata"]["name"]: yaml.safe_load(secret["stringData"]["objects.yml"])
        for secret in recording.kinds("Secret")
        if "objects.yml" in secret.get("stringData", {})
    }
    assert {"thanos-store-objects", "thanos-compact-objects"} < {*files}
    return {name: content["config"].get("sse_config") for name, content in files.items()}


def test_a_storage_that_refuses_to_be_asked_is_not_asked_to_encrypt(recording: Recording) -> None:
    assert set(map(str, _encryption(recording).values())) == {"None"}
    for stack in ("local", "prod"):
        assert all(wish == {"type": "SSE-S3"} for wish in _encryption(engine.recorded(stack)).values())


@pytest.mark.parametrize("value", ["SSE-KMS", "sse-s3", True])
def test_a_storage_is_asked_for_one_kind_of_encryption_or_for_none(value: object) -> None:
    content = engine.stack_settings(STACK)
    content["object_storage"]["encryption"] = value
    with pytest.raises(SettingsError, match=r"settings\.object_storage\.encryption is .*: allowed is SSE-S3, or null "):
        parse(content, f"Pulumi.{STACK}.yaml")


def test_alerts_reach_kafka_and_nobody_else(recording: Recording) -> None:
    files = recording.one("ConfigMap", "alertmanager")["data"]
    receivers = yaml.safe_load(files["alertmanager.yml"])["receivers"]
    assert {kind for receiver in receivers for kind in receiver} == {"name", "webhook_configs"}
    assert [receiver["name"] for receiver in receivers if "webhook_configs" not in receiver] == ["heartbeat"]
    assert not any(f"{ESCALATION_LABEL}:" in text for text in _rule_files(recording))


def _rule_files(recording: Recording) -> list[str]:
    """Texts of files with rules."""
    texts = [text for manifest in recording.kinds("ConfigMap") for text in manifest["data"].values()]
    files = [text for text in texts if "- alert: " in text]
    assert files, "no file has rules: the test looks at nothing"
    return files


def test_nobody_decides_which_region_is_active(recording: Recording) -> None:
    assert not any("RegionLeaseUnreadable" in text for text in _rule_files(recording))
    names = {pods["metadata"]["name"] for pods in recording.kinds("Deployment", "StatefulSet")}
    assert "alertmanager" in names
    assert not names & {"failover-agent", "mirror-maker"}
    assert recording.outputs["regions"]["witness"] is None


def test_the_administrator_is_the_only_account_of_grafana(recording: Recording) -> None:
    files = recording.one("ConfigMap", "grafana")["data"]
    ini = configparser.RawConfigParser(delimiters=("=",), default_section="none")
    ini.read_string(files["grafana.ini"])
    assert "ldap.toml" not in files
    assert ini["auth.ldap"]["enabled"] == ini["auth.generic_oauth"]["enabled"] == "false"
    assert ini["auth.anonymous"]["enabled"] == ini["users"]["allow_sign_up"] == "false"
    [container] = recording.one("StatefulSet", "grafana")["spec"]["template"]["spec"]["containers"]
    assert not [mount for mount in container["volumeMounts"] if mount.get("subPath") == "ldap.toml"]


def test_traces_are_read_in_grafana_alone(recording: Recording) -> None:
    names = {pods["metadata"]["name"] for pods in recording.kinds("Deployment", "StatefulSet")}
    assert "jaeger-reader" in names
    assert not [name for name in names if name.startswith("jaeger-query")]
    assert recording.outputs["trace_query_urls"] == {}
    assert recording.outputs["trace_login"] is None


def test_a_standby_needs_a_lease() -> None:
    with pytest.raises(SettingsError, match="region-a is a standby without a lease: allowed is role primary"):
        engine.record(STACK, engine.stack_settings(STACK), role="standby")


def test_the_page_selects_this_stack() -> None:
    page = (CHECKOUT / "docs" / "install.md").read_text(encoding="utf-8")
    section = page.partition("\n## kind\n")[2].partition("\n## ")[0]
    assert f"\npulumi stack select --create {STACK}\n" in section
    context = engine.stack_settings(STACK)["cluster"]["context"]
    assert f"\npython -m ops up --context {context} " in section
