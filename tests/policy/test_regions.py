"""Two regions, of which one is active: each promise broken once, from the platform's own components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from components.mirror.component import Mirror
from components.regions import FailoverAgent
from policy.model import UNKNOWN, Level, Resource, UnknownValueError
from policy.rules import RULES as RULE_PACK
from policy.rules.regions import RULES
from tests.policy.fixtures_servers import config_map, rule, said, workload
from tests.support.mutations import mutations
from tests.unit.mirror.stubs import arguments as mirror_arguments
from tests.unit.regions.stubs import arguments
from tests.unit.sampler.stubs import deployment_context, record

ALERTMANAGER = workload("StatefulSet", "alertmanager", "prom/alertmanager:v0.31.1", replicas=2)
STORE = config_map("store", **{"store.yml": {"type": "S3", "config": {"bucket": "monitoring"}}})
REPORTS = config_map("reports", **{"config.yaml": {"storage": {"bucket": "documents"}}})
Change = Callable[[dict[str, Any]], Any]


def region_resources(*, leads: bool) -> list[Resource]:
    """What the components make of a region: a primary alone, or a standby with its mirror."""

    def program() -> None:
        where = replace(deployment_context(), region="region-b")
        FailoverAgent("failover-agent", arguments(where, leads=leads, peer="region-a"))
        if not leads:
            Mirror("mirror", mirror_arguments())

    resources = [
        Resource(resource.token, resource.name, resource.inputs)
        for resource in record(program).resources
        if not resource.read
    ]
    return [ALERTMANAGER, STORE, REPORTS, *resources]


@pytest.fixture(scope="module")
def primary() -> list[Resource]:
    return region_resources(leads=True)


@pytest.fixture(scope="module")
def standby() -> list[Resource]:
    return region_resources(leads=False)


def without(resources: list[Resource], kind: str, name: str) -> list[Resource]:
    """The stack without one object."""
    left = [resource for resource in resources if (resource.kind, resource.object_name) != (kind, name)]
    assert len(left) == len(resources) - 1
    return left


def told(resources: list[Resource], change: Change) -> list[Resource]:
    """The stack in which the failover agent is told something else."""

    def changed(resource: Resource) -> Resource:
        if (resource.kind, resource.object_name) != ("ConfigMap", "failover-agent"):
            return resource
        content = yaml.safe_load(resource.props["data"]["config.yaml"])
        change(content)
        return Resource(
            resource.type, resource.name, {**resource.props, "data": {"config.yaml": yaml.safe_dump(content)}}
        )

    return [changed(resource) for resource in resources]


def unknown(resources: list[Resource], name: str) -> list[Resource]:
    """The stack in which the files of a ConfigMap are not known yet."""
    return [
        Resource(
            resource.type, resource.name, {**resource.props, "data": dict.fromkeys(resource.props["data"], UNKNOWN)}
        )
        if (resource.kind, resource.object_name) == ("ConfigMap", name)
        else resource
        for resource in resources
    ]


def report(*, suspend: bool | None) -> Resource:
    """A job that makes a report."""
    command = ["/usr/bin/python3", "-m", "services.reports", "--config", "/etc/reports/config.yaml", "daily"]
    extra = {} if suspend is None else {"suspend": suspend}
    return workload("CronJob", "report-daily", "obs/reports:1", command=command, extra=extra)


@pytest.mark.parametrize("suspend", [None, False])
def test_reports_of_both_regions_are_noticed(
    primary: list[Resource], standby: list[Resource], suspend: bool | None
) -> None:
    job = report(suspend=suspend)
    assert said(rule("region-reports-once"), [*primary, job]) == []
    assert said(rule("region-reports-once"), [*standby, job]) == [
        "CronJob mon/report-daily, spec.suspend: a standby would send each report once more. Fix: set suspend to true."
    ]


def test_reports_that_nobody_gets_are_noticed(primary: list[Resource], standby: list[Resource]) -> None:
    job = report(suspend=True)
    assert said(rule("region-reports-once"), [*standby, job]) == []
    assert said(rule("region-reports-once"), [*primary, job]) == [
        "CronJob mon/report-daily, spec.suspend: nobody gets this report: suspend is true and no standby. "
        "Fix: set suspend to false."
    ]


def test_of_a_job_that_makes_no_report_the_role_changes_nothing(standby: list[Resource]) -> None:
    other = workload("CronJob", "backup", "obs/backup:1", command=["services.backup"], extra={"suspend": True})
    assert said(rule("region-reports-once"), [*standby, other]) == []
    assert any("the job never runs: suspend is true" in finding for finding in said(rule("scheduled-jobs"), [other]))
    assert not any("suspend" in finding for finding in said(rule("scheduled-jobs"), [report(suspend=True)]))


@pytest.mark.parametrize("checked", RULES, ids=lambda checked_rule: checked_rule.id)
@pytest.mark.parametrize("role", ["primary", "standby"])
def test_the_platforms_own_regions_keep_every_promise(checked: Any, role: str, request: pytest.FixtureRequest) -> None:
    assert said(checked, request.getfixturevalue(role)) == []


def test_every_rule_stops_a_change() -> None:
    assert {known_rule.level for known_rule in RULES} == {Level.MANDATORY}


def test_an_alertmanager_without_a_failover_agent_is_noticed(primary: list[Resource]) -> None:
    alone = without(primary, "Deployment", "failover-agent")
    assert said(rule("failover-agent-exists"), alone) == [
        "stack, regions: nothing makes Alertmanager follow the lease. Fix: run services.failover_agent."
    ]
    assert said(rule("failover-agent-exists"), without(alone, "StatefulSet", "alertmanager")) == []


def test_a_standby_without_a_mirror_is_noticed(standby: list[Resource]) -> None:
    assert said(rule("region-standby-whole"), without(standby, "Deployment", "mirror-maker")) == [
        "ConfigMap obs/failover-agent, config.yaml:.role: a standby has no copy of region-a: nothing is copied into "
        "region-b. Fix: run MirrorMaker from the peer into this region."
    ]


def test_a_standby_without_a_failover_agent_is_noticed(standby: list[Resource]) -> None:
    [finding] = said(rule("failover-agent-exists"), without(standby, "Deployment", "failover-agent"))
    assert "nothing makes Alertmanager follow the lease" in finding


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.update(peer="region-c"),
            "role: a standby has no copy of region-c: nothing is copied into region-b. Fix: run MirrorMaker from the",
        ),
        (
            lambda content: content.update(peer=None),
            "role: a standby has no copy of the other region: nothing is copied into region-b.",
        ),
        (
            lambda content: content.update(role="primary"),
            "role: region-b is primary, and another region is copied into it. Fix: take MirrorMaker away, or set the "
            "role to standby.",
        ),
        (lambda content: content.pop("role"), "role: the role of the region is not set. Fix: set it to primary or st"),
        (lambda content: content.update(role="both"), "role: the role of the region is both. Fix: set it to primary"),
    ],
)
def test_a_role_that_the_copy_does_not_fit_is_noticed(standby: list[Resource], change: Change, message: str) -> None:
    [finding] = said(rule("region-standby-whole"), told(standby, change))
    assert finding.startswith(f"ConfigMap obs/failover-agent, config.yaml:.{message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.pop("egress_targets"),
            "egress_targets: a region that is cut off would never fall silent: egress_targets is not set. Fix: name "
            "host:port of the pagers.",
        ),
        (
            lambda content: content.update(egress_targets=[]),
            "egress_targets: a region that is cut off would never fall silent: egress_targets is empty.",
        ),
        (
            lambda content: content.update(egress_targets=[""]),
            "egress_targets: a region that is cut off would never fall silent",
        ),
        (
            lambda content: content.update(peer="region-b"),
            "peer: the region is its own peer. Fix: name the other region, or null.",
        ),
        (
            lambda content: content.update(isolated_s=600),
            "isolated_s: a region that is cut off falls silent late: isolated_s is 600. Fix: set it to 30 or less.",
        ),
        (lambda content: content.pop("isolated_s"), "isolated_s: a region that is cut off falls silent late: isolated"),
        (
            lambda content: content.update(poll_interval_s=60),
            "poll_interval_s: a region that lost the lease goes on notifying for",
        ),
        (
            lambda content: content.update(poll_interval_s=0),
            "poll_interval_s: a region that lost the lease goes on notifying for",
        ),
        (
            lambda content: content.update(heartbeat_interval_s=60),
            "heartbeat_interval_s: the other region learns late that this one is gone: heartbeat",
        ),
        (
            lambda content: content["fingerprints"].pop("rules"),
            "fingerprints.rules: nobody would see that both regions have other rules. Fix: set its digest.",
        ),
        (
            lambda content: content["alertmanagers"]["urls"].pop(0),
            "alertmanagers.urls: the failover agent does not reach alertmanager-0 by its own address. Fix: name "
            "every pod: silences do not spread while gossip is cut.",
        ),
        (
            lambda content: content["alertmanagers"].update(urls=["https://alertmanager.obs.svc:9093"]),
            "alertmanagers.urls: the failover agent does not reach alertmanager-0, alertmanager-1 by its own address.",
        ),
    ],
)
def test_a_failover_agent_that_could_not_do_its_work_is_noticed(
    primary: list[Resource], change: Change, message: str
) -> None:
    [finding] = said(rule("failover-agent-settings"), told(primary, change))
    assert finding.startswith(f"ConfigMap obs/failover-agent, config.yaml:.{message}")


def test_an_alertmanager_that_is_asked_in_clear_text_is_noticed(primary: list[Resource]) -> None:
    def change(content: dict[str, Any]) -> None:
        urls = content["alertmanagers"]["urls"]
        urls[1] = urls[1].replace("https://", "http://")

    [finding] = said(rule("failover-agent-settings"), told(primary, change))
    assert (
        "alertmanagers.urls[1]: the operator's password travels in clear text: it is http://alertmanager-1." in finding
    )


def test_a_member_that_is_added_and_that_the_failover_agent_does_not_know_is_noticed(primary: list[Resource]) -> None:
    three = workload("StatefulSet", "alertmanager", "prom/alertmanager:v0.31.1", replicas=3)
    [finding] = said(rule("failover-agent-settings"), [three, *primary[1:]])
    assert "the failover agent does not reach alertmanager-2 by its own address" in finding


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content["witness"].update(bucket="monitoring"),
            "bucket: the lease lies in monitoring, which ConfigMap mon/store uses: it is lost with the region. "
            "Fix: use a bucket of its own, in neither region.",
        ),
        (
            lambda content: content["witness"].update(bucket="documents"),
            "bucket: the lease lies in documents, which ConfigMap mon/reports uses: it is lost with the region.",
        ),
        (
            lambda content: content["witness"].pop("bucket"),
            "bucket: the failover agent has no lease to follow: no bucket is",
        ),
        (
            lambda content: content["witness"].update(endpoint="http://witness:80"),
            "endpoint: the lease can be forged on its way: it is http://witness:80. Fix: use https://.",
        ),
    ],
)
def test_a_witness_that_is_in_a_region_or_can_be_forged_is_noticed(
    primary: list[Resource], change: Change, message: str
) -> None:
    [finding] = said(rule("region-witness-apart"), told(primary, change))
    assert finding.startswith(f"ConfigMap obs/failover-agent, config.yaml:.witness.{message}")


def test_the_witness_may_be_at_awss_own_address(primary: list[Resource]) -> None:
    assert (
        said(rule("region-witness-apart"), told(primary, lambda content: content["witness"].update(endpoint=None)))
        == []
    )


def test_settings_that_are_not_mounted_are_no_settings(primary: list[Resource]) -> None:
    gone = without(primary, "ConfigMap", "failover-agent")
    findings = said(rule("failover-agent-settings"), gone)
    assert findings
    assert all(finding.startswith("Deployment obs/failover-agent, ") for finding in findings)
    assert "egress_targets is not set" in findings[0]


@pytest.mark.parametrize("rule_id", [known_rule.id for known_rule in RULES])
def test_a_failover_agent_that_is_not_known_yet_is_not_called_wrong(primary: list[Resource], rule_id: str) -> None:
    with pytest.raises(UnknownValueError, match="ConfigMap obs/failover-agent"):
        said(rule(rule_id), unknown(primary, "failover-agent"))


def test_a_copy_that_is_not_known_yet_is_not_called_missing(standby: list[Resource]) -> None:
    with pytest.raises(UnknownValueError, match="ConfigMap obs/mirror-maker"):
        said(rule("region-standby-whole"), unknown(standby, "mirror-maker"))


@pytest.mark.parametrize("role", ["primary", "standby"])
def test_every_weakened_setting_of_the_failover_agent_is_noticed(role: str, request: pytest.FixtureRequest) -> None:
    """The mutation run does this for whole platforms; here only what is about two regions is changed."""
    stack: list[Resource] = request.getfixturevalue(role)
    mine = {"failover-agent", "mirror-maker"}
    wanted = [
        mutation
        for mutation in mutations(stack)
        if stack[mutation.index].object_name in mine
        and (
            (stack[mutation.index].kind == "ConfigMap" and stack[mutation.index].object_name == "failover-agent")
            or (stack[mutation.index].kind == "Deployment" and mutation.changed is None)
        )
    ]
    at_resource = [known_rule for known_rule in RULE_PACK if known_rule.level == "mandatory" and known_rule.resource]
    survivors = []
    for mutation in wanted:
        seen = mutation.changed is not None and any(said(one, [mutation.changed]) for one in at_resource)
        if not seen and not any(said(one, mutation.applied(stack)) for one in RULES):
            survivors.append(mutation.name)
    assert survivors == []
    assert len(wanted) >= 20
