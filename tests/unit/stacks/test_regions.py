"""The pair of regions, as the program of each makes its half."""

from __future__ import annotations

import copy
from typing import Any

import pulumi
import pytest
import yaml

from ops.checks.recovery import FINGERPRINTS
from services.failover_agent import FailoverAgentSettings
from stacks import settings as model
from stacks.endpoints import check_agreed, check_partitions, needed, parity_fingerprints, topic_partitions
from stacks.settings import Role, SettingsError, parse
from stacks.stage_settings import host_port
from tests.support import engine
from tests.support.engine import Recording

STACK = "organization/observability/prod"


def _role(value: str | None) -> Role:
    roles: list[Role] = []

    def program() -> None:
        if value is not None:
            pulumi.runtime.set_config("observability:role", value)
        roles.append(model.role())

    engine.run(Recording(), "unit", program)
    return roles[0]


@pytest.mark.parametrize("role", list(Role))
def test_the_role_is_read_beside_the_settings(role: Role) -> None:
    assert _role(str(role)) is role


@pytest.mark.parametrize(("given", "shown"), [(None, "missing"), ("main", "'main'")])
def test_a_wrong_role_is_one_line(given: str | None, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "get_stack", lambda: "unit")

    class Config:
        def __init__(self, name: str) -> None:
            assert name == "observability"

        def get(self, key: str) -> str | None:
            assert key == "role"
            return given

    monkeypatch.setattr(pulumi, "Config", Config)
    with pytest.raises(SettingsError, match="allowed is primary or standby; run ") as caught:
        model.role()
    assert str(caught.value).startswith(f"Pulumi.unit.yaml: observability:role is {shown}: ")
    assert "\n" not in str(caught.value)


def test_only_a_region_that_stands_by_copies_the_other_one() -> None:
    names = {stack: _names(engine.recorded(stack)) for stack in engine.STACKS}
    assert {stack for stack, name in names.items() if "mirror-maker" in name} == {"dr"}
    assert all("failover-agent" in name for name in names.values())
    promoted = engine.recorded("dr", "primary")
    assert "mirror-maker" not in _names(promoted)
    returned = engine.recorded("prod", "standby")
    assert "mirror-maker" in _names(returned)


def _names(recording: Recording) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in recording.kinds("Deployment", "StatefulSet")}


def test_the_password_of_the_mirrors_key_store_outlives_the_mirror() -> None:
    """The key store does: one that was made for another password could not be opened after a failback."""
    for stack in ("prod", "dr"):
        keystore_secret = engine.recorded(stack, "standby").one("Certificate", "mirror-maker")
        name = keystore_secret["spec"]["keystores"]["pkcs12"]["passwordSecretRef"]["name"]
        kept = [engine.recorded(stack, str(role)).one("Secret", name) for role in Role]
        assert kept[0] == kept[1]


def test_reports_come_from_one_region() -> None:
    for stack, role, suspended in (("prod", None, False), ("dr", None, True), ("dr", "primary", False)):
        jobs = {
            manifest["metadata"]["name"]: manifest["spec"] for manifest in engine.recorded(stack, role).kinds("CronJob")
        }
        reports = [spec for name, spec in jobs.items() if name.startswith("report")]
        assert [spec["suspend"] for spec in reports] == [suspended] * 3, (stack, role)
        backups = [spec for name, spec in jobs.items() if name.startswith("backup")]
        assert backups
        assert not any(spec["suspend"] for spec in backups), "a region that stands by keeps its own backups"


def test_users_and_permissions_do_not_wait_for_a_failover() -> None:
    def users(run: Recording) -> set[str]:
        return {
            resource.inputs["username"] for resource in run.resources if resource.token.endswith(":UserScramCredential")
        }

    here, there = users(engine.recorded("prod")), users(engine.recorded("dr"))
    assert here == there
    assert {"mirror", "mirror-maker"} <= here


def test_the_layers_have_one_set_of_passwords() -> None:
    logins = engine.recorded("dr").outputs["otlp_credentials"]
    assert {login["password"] for login in logins.values()} == {
        engine.password_of(f"other {layer}") for layer in logins
    }
    assert engine.recorded("dr").outputs["id_hash_key"] == engine.password_of("other ids")


def test_the_names_that_move_are_in_both_certificates() -> None:
    for stack in ("prod", "dr"):
        certificate = engine.recorded(stack).one("Certificate", "gateway")
        assert "otlp.obs.example.com" in certificate["spec"]["dnsNames"], stack


def test_operators_are_told_both_halves() -> None:
    here, there = (engine.recorded(stack).outputs["regions"] for stack in ("prod", "dr"))
    assert (here["role"], there["role"]) == ("primary", "standby")
    assert (here["peer"]["region"], there["peer"]["region"]) == ("region-b", "region-a")
    assert here["mirror"] is None
    assert there["mirror"]["source"] == "region-a"
    assert "failover-drill" in there["mirror"]["groups"]
    assert here["witness"]["bucket"] == there["witness"]["bucket"] == "obs-witness"
    assert here["fingerprints"] == there["fingerprints"]


@pytest.mark.parametrize("pair", [("prod", "dr"), ("local", "local-dr")])
def test_the_stack_files_of_a_pair_agree(pair: tuple[str, str]) -> None:
    first, second = (parity_fingerprints(parse(engine.stack_settings(stack), stack)) for stack in pair)
    differ = sorted(kind for kind in first if first[kind] != second[kind])
    assert not differ, f"Pulumi.{pair[0]}.yaml and Pulumi.{pair[1]}.yaml differ in {', '.join(differ)}: change both"


CHANGES: dict[str, tuple[tuple[str, ...], object]] = {
    "topics": (("topics", "telemetry-logs"), {"retention_days": 7}),
    "groups": (("regions", "groups"), ["failover-drill", "billing"]),
    "catalogue": (("gateway", "open_layers"), ["streaming"]),
    "rules": (("alerting", "escalation", "critical"), "6m"),
    "notifications": (("alerting", "contacts", "operators", "mail"), "others@example.com"),
    "permissions": (("prometheus", "replicas"), ["primary", "secondary", "third"]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_difference_is_noticed_in_its_kind_only(kind: str) -> None:
    path, value = CHANGES[kind]
    content: dict[str, Any] = copy.deepcopy(engine.stack_settings("dr"))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    before = parity_fingerprints(parse(engine.stack_settings("dr"), "dr"))
    after = parity_fingerprints(parse(content, "dr"))
    assert {name for name in after if after[name] != before[name]} == {kind}


def test_another_pager_is_another_way_to_be_notified() -> None:
    content: dict[str, Any] = copy.deepcopy(engine.stack_settings("dr"))
    content["alerting"]["channels"]["phone"]["url"] = "https://elsewhere.example.com/"
    before = parity_fingerprints(parse(engine.stack_settings("dr"), "dr"))
    after = parity_fingerprints(parse(content, "dr"))
    assert {name for name in after if after[name] != before[name]} == {"notifications"}


def test_all_that_both_regions_agree_on_is_asked_for_by_the_row_of_both() -> None:
    assert parity_fingerprints(parse(engine.stack_settings("dr"), "dr")).keys() == FINGERPRINTS


def test_partitions_are_raised_in_the_region_that_stands_by_first() -> None:
    content: dict[str, Any] = copy.deepcopy(engine.stack_settings("dr"))
    content["topics"] = {"telemetry-logs": {"partitions": 70}}
    more, before = (parse(known, "dr") for known in (content, engine.stack_settings("dr")))
    assert parity_fingerprints(more) == parity_fingerprints(before)
    check_partitions(topic_partitions(more), topic_partitions(before), STACK)
    check_partitions(topic_partitions(before), None, STACK)
    with pytest.raises(SettingsError, match=rf"telemetry-logs has \d+, {STACK} 70: raise topics.NAME.partitions here"):
        check_partitions(topic_partitions(before), topic_partitions(more), STACK)


def test_a_difference_stops_the_region_that_stands_by() -> None:
    own = {"rules": "1", "topics": "2"}
    check_agreed(own, dict(own), STACK)
    with pytest.raises(SettingsError, match=r"the two regions differ in rules: this stack and .* must say"):
        check_agreed(own, {"rules": "3", "topics": "2"}, STACK)
    with pytest.raises(SettingsError, match="differ in topics"):
        check_agreed(own, {"rules": "1"}, STACK)


def test_what_the_other_stack_lacks_is_named_in_an_update() -> None:
    path = ("kafka_users", "mirror", "password")
    assert needed({"mirror": {"password": "secret"}}, STACK, *path) == "secret"
    for outputs in (None, {}, {"mirror": None}, {"mirror": "secret"}, {"mirror": {"password": ""}}, "text"):
        with pytest.raises(
            SettingsError,
            match=f"the stack {STACK} has no output {'.'.join(path)}: run `pulumi up --policy-pack policy`",
        ):
            needed(outputs, STACK, *path)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://events.pagerduty.com/v2/enqueue", "events.pagerduty.com:443"),
        ("https://198.18.0.2:8443/v2/enqueue", "198.18.0.2:8443"),
        ("https://pager.example.com", "pager.example.com:443"),
    ],
)
def test_where_a_pager_is_tried(url: str, place: str) -> None:
    assert host_port(url) == place


def test_a_region_is_not_its_own_peer_and_the_witness_is_elsewhere() -> None:
    content = engine.stack_settings("dr")
    content["regions"]["peer"]["region"] = "region-b"
    with pytest.raises(SettingsError, match=r"another regions.peer.region than this one's own"):
        parse(content, "dr")
    content = engine.stack_settings("dr")
    content["regions"]["witness"]["bucket"] = content["object_storage"]["bucket"]
    with pytest.raises(SettingsError, match=r"a regions.witness.bucket of its own"):
        parse(content, "dr")


@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_the_failover_agent_reads_the_file_that_it_is_given(stack: str) -> None:
    text = engine.recorded(stack).one("ConfigMap", "failover-agent")["data"]["config.yaml"]
    read = FailoverAgentSettings.parse(yaml.safe_load(text))
    assert read.role == engine.stack_role(stack)
    assert read.fingerprints == engine.recorded(stack).outputs["fingerprints"]
