"""Changes in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from ops.review.explain import explain, together
from ops.review.model import Planned, StackPlan, Statement, Subject, code, duration, seconds
from policy.model import UNKNOWN
from tests.unit.ops.review_plans import (
    POLICY,
    QUOTA,
    SERVICE,
    USER,
    acl,
    files,
    manifest,
    plan,
    planned,
    rules,
    secret_files,
    stateful_set,
    template,
    topic,
)


def _told(before: StackPlan, after: StackPlan) -> list[tuple[str, bool]]:
    return [(statement.text, statement.weakens) for statement in explain(before, after)]


def _resource(before: Planned, after: Planned) -> list[tuple[str, bool]]:
    return _told(plan(before), plan(after))


def _threshold(**changes: Any) -> dict[str, Any]:
    return {
        "name": "delivery-delay",
        "layer": "device",
        "value": "device_delivery_delay_seconds",
        "comparison": ">",
        "limit": 1.0,
        "hold_s": 0,
        **changes,
    }


def _catalogue(*thresholds: dict[str, Any]) -> StackPlan:
    return plan(thresholds=thresholds)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"limit": 2.0}, ("delivery delay: alert now above 2 s instead of 1 s", True)),
        ({}, {"limit": 0.5}, ("delivery delay: alert now above 0.5 s instead of 1 s", False)),
        ({}, {"limit": 300.0}, ("delivery delay: alert now above 5 min instead of 1 s", True)),
        ({}, {"comparison": ">="}, ("delivery delay: alert now at or above 1 s instead of above 1 s", False)),
        ({}, {"hold_s": 180}, ("delivery delay: alert now after 3 min instead of 0 s", True)),
        ({"hold_s": 180}, {"hold_s": 60}, ("delivery delay: alert now after 60 s instead of 3 min", False)),
        (
            {"name": "battery", "value": "hw_battery_charge_ratio", "comparison": "<=", "limit": 0.2},
            {"name": "battery", "value": "hw_battery_charge_ratio", "comparison": "<=", "limit": 0.1},
            ("battery: alert now at or below 10 % instead of 20 %", True),
        ),
        (
            {"value": "sum(rate(a_total[5m])) / sum(rate(b_total[5m]))", "limit": 0.05},
            {"value": "sum(rate(a_total[5m])) / sum(rate(b_total[5m]))", "limit": 0.5},
            ("delivery delay: alert now above 50 % instead of 5 %", True),
        ),
        (
            {"value": "histogram_quantile(0.95, sum by (le) (rate(d_seconds_bucket[5m])))", "limit": 3},
            {"value": "histogram_quantile(0.95, sum by (le) (rate(d_seconds_bucket[5m])))", "limit": 4},
            ("delivery delay: alert now above 4 s instead of 3 s", True),
        ),
        (
            {},
            {"value": "other"},
            ("delivery delay: now looks at `other` instead of `device_delivery_delay_seconds`", False),
        ),
    ],
)
def test_a_moved_threshold_is_told_with_its_unit(
    before: dict[str, Any], after: dict[str, Any], told: tuple[str, bool]
) -> None:
    assert _told(_catalogue(_threshold(**before)), _catalogue(_threshold(**after))) == [told]


def test_thresholds_come_and_go() -> None:
    new, gone = _threshold(name="fresh", hold_s=180), _threshold(name="stale")
    assert _told(_catalogue(gone), _catalogue(new)) == [
        ("fresh: new threshold, alert above 1 s for 3 min", False),
        ("stale: the threshold is gone", True),
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"expr": "lag > 50"}, [("Lag: alert now above 50 instead of 5", True)]),
        ({}, {"expr": "lag > 1"}, [("Lag: alert now above 1 instead of 5", False)]),
        ({}, {"expr": "free < 5"}, [("Lag: the condition is now `free < 5` instead of `lag > 5`", False)]),
        ({"expr": "free < 5"}, {"expr": "free < 2"}, [("Lag: alert now below 2 instead of 5", True)]),
        (
            {"expr": "a_seconds > 60 and b_total > 7"},
            {"expr": "a_seconds > 120 and b_total > 7"},
            [("Lag: `a_seconds` now above 2 min instead of 60 s", True)],
        ),
        (
            {"expr": "a > 1 and rate(b[5m]) > 0"},
            {"expr": "a > 1 and rate(b[10m]) > 0"},
            [("Lag: the condition is now `a > 1 and rate(b[10m]) > 0` instead of `a > 1 and rate(b[5m]) > 0`", False)],
        ),
        ({}, {"hold": "10m"}, [("Lag: alert now after 10m instead of 5m", True)]),
        ({}, {"hold": "30s"}, [("Lag: alert now after 30s instead of 5m", False)]),
        ({}, {"labels": {"severity": "low"}}, [("Lag: severity is now low instead of high", True)]),
        ({}, {"labels": {"severity": "critical"}}, [("Lag: severity is now critical instead of high", False)]),
        ({}, {"annotations": {"summary": "x"}}, [("Lag: the text of its notification changes (summary)", False)]),
    ],
)
def test_a_changed_alert_is_told(before: dict[str, Any], after: dict[str, Any], told: list[tuple[str, bool]]) -> None:
    assert _resource(files(rules__yml=rules(**before)), files(rules__yml=rules(**after))) == told


def test_alerts_come_and_go() -> None:
    before, after = rules(), rules(alert="Other", expr="x > 1")
    assert _resource(files(rules__yml=before), files(rules__yml=after)) == [
        ("new alert Other (high): `x > 1` for 5 min", False),
        ("alert Lag is gone", True),
    ]


def test_two_prometheus_with_the_same_rules_say_it_once() -> None:
    before, after = (
        plan(files("a", rules__yml=rules(hold=hold)), files("b", rules__yml=rules(hold=hold))) for hold in ("5m", "1h")
    )
    assert _told(before, after) == [("Lag: alert now after 1h instead of 5m", True)]


def test_a_file_with_other_groups_is_no_rule_file() -> None:
    assert _resource(files(c__yaml={"groups": ["a"]}), files(c__yaml={"groups": ["a", "b"]})) == []


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        (acl("gateway", "Read", "Topic", "telemetry-logs"), "user gateway may now also read telemetry-logs"),
        (acl("gateway", "Write", "Topic", "*"), "user gateway may now also write every topic"),
        (acl("gateway", "All", "Topic", "a"), "user gateway may now also do everything with a"),
        (acl("stranger", "Read", "Group", "g"), "user stranger may now use consumer group g"),
        (acl("*", "Describe", "Topic", "a"), "every user may now see (not read) a"),
        (
            acl("gateway", "Read", "Topic", "tele", resourcePatternTypeFilter="Prefixed"),
            "user gateway may now also read every topic that begins with tele",
        ),
        (acl("x", "Alter", "Cluster", "kafka-cluster"), "user x may now alter cluster kafka-cluster"),
        (acl("x", "Read", "Topic", "a", aclHost="10.0.0.1"), "user x from host 10.0.0.1 may now read a"),
    ],
)
def test_a_wider_permission_is_told_and_marked(permission: Planned, told: str) -> None:
    known = acl("gateway", "Write", "Topic", "telemetry-metrics")
    assert _told(plan(known), plan(known, permission)) == [(told, True)]


def test_a_permission_that_goes_is_told_and_not_marked() -> None:
    assert _told(plan(acl("a", "Read", "Topic", "t")), plan()) == [("user a may no longer read t", False)]


def test_a_refusal_that_goes_is_marked() -> None:
    refusal = acl("a", "Read", "Topic", "t", aclPermissionType="Deny")
    assert _told(plan(refusal), plan()) == [("user a is no longer refused to read t", True)]
    assert _told(plan(), plan(refusal)) == [("user a is now refused to read t", False)]


def test_users_come_go_and_change() -> None:
    def user(name: str, **changes: Any) -> Planned:
        content = {"username": name, "scramMechanism": "SCRAM-SHA-512", "scramIterations": 4096, "password": "a"}
        return planned(USER, name, content | changes)

    assert _told(plan(user("old")), plan(user("new"))) == [
        ("new user new (SCRAM-SHA-512)", False),
        ("user old can no longer log in", False),
    ]
    assert _resource(user("u"), user("u", scramIterations=100)) == [
        ("user u has its password hashed in rounds: 100 instead of 4096", True)
    ]
    assert _resource(user("u"), user("u", password="b")) == [
        ("user u gets a new password; whoever has the old one is refused", False)
    ]


def test_quotas_come_go_and_change() -> None:
    def quota(**config: str) -> Planned:
        return planned(QUOTA, "u", {"entityName": "u", "entityType": "user", "config": config})

    rates = {"producer_byte_rate": "10", "request_percentage": "300"}
    assert _told(plan(), plan(quota(**rates))) == [
        ("u is delayed beyond 10 bytes a second written to a broker, 300 percent of a broker's thread", False)
    ]
    assert _told(plan(quota(**rates)), plan()) == [("u has no quota any more and can take all of a broker", True)]
    assert _resource(quota(**rates), quota(producer_byte_rate="20")) == [
        ("u is delayed beyond 20 bytes a second written to a broker instead of 10", True),
        ("u is delayed beyond any number of percent of a broker's thread instead of 300", True),
    ]
    assert _resource(quota(producer_byte_rate="20"), quota(producer_byte_rate="10", request_percentage="1")) == [
        ("u is delayed beyond 10 bytes a second written to a broker instead of 20", False),
        ("u is delayed beyond 1 percent of a broker's thread instead of any number", False),
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"retention_ms": 259_200_000}, ("topic telemetry-logs: records are kept 3 d instead of 14 d", True)),
        ({"retention_ms": -1}, ("topic telemetry-logs: records are kept for ever instead of 14 d", False)),
        ({"partitions": 12}, ("topic telemetry-logs: 12 partitions instead of 6", False)),
        ({"replicationFactor": 2}, ("topic telemetry-logs: 2 copies of every record instead of 3", True)),
        ({"min_insync_replicas": 1}, ("topic telemetry-logs: a write counts with 1 in-sync copies instead of 2", True)),
    ],
)
def test_a_changed_topic_is_told(changes: dict[str, Any], told: tuple[str, bool]) -> None:
    assert _resource(topic(), topic(**changes)) == [told]


def test_a_listener_without_tls_is_told_once_for_all_nodes() -> None:
    before, after = (
        files(
            **{
                f"server-{index}__properties": f"listeners=X\nlistener.security.protocol.map=CLIENT:{protocol},IN:SSL\n"
                for index in range(3)
            }
        )
        for protocol in ("SASL_SSL", "PLAINTEXT")
    )
    assert _resource(before, after) == [
        ("3 nodes: listener CLIENT is now PLAINTEXT instead of SASL_SSL: encryption and login lost", True)
    ]


def test_a_changed_broker_property_is_told() -> None:
    before, after = (files(s__properties=f"listeners=X\nmin.insync.replicas={count}\n") for count in (2, 1))
    assert _resource(before, after) == [
        ("files/s.properties: `min.insync.replicas` is now `1` instead of `2`", True),
    ]


def _service(**spec: Any) -> Planned:
    return manifest(SERVICE, "gateway", {"spec": {"type": "LoadBalancer", "ports": [{"port": 4317}], **spec}})


def test_exposed_endpoints_are_explained() -> None:
    closed, narrow = _service(type="ClusterIP"), _service(loadBalancerSourceRanges=["10.0.0.0/8"])
    assert _resource(closed, narrow) == [
        ("Service gateway becomes reachable from outside, from 10.0.0.0/8 at 4317", True)
    ]
    assert _resource(narrow, _service()) == [
        ("Service gateway is reachable from anywhere at 4317 instead of from 10.0.0.0/8 at 4317", True)
    ]
    assert _resource(narrow, closed) == [("Service gateway is no longer reachable from outside", False)]


def test_networks_are_told() -> None:
    def policy(*peers: dict[str, Any]) -> Planned:
        rule = {"from": list(peers), "ports": [{"port": 9092}]}
        return manifest(POLICY, "kafka", {"spec": {"policyTypes": ["Ingress"], "ingress": [rule], "podSelector": {}}})

    pods = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}
    everywhere = {"namespaceSelector": {}}
    assert _resource(policy(pods), policy(pods, everywhere)) == [
        ("NetworkPolicy kafka: namespaces of any kind at port 9092 are let in now", True)
    ]
    assert _resource(policy(pods), policy()) == [
        ("NetworkPolicy kafka: everybody at port 9092 are let in now", True),
        ("NetworkPolicy kafka: pods gateway at port 9092 are let in no longer", False),
    ]
    assert _told(plan(policy(pods)), plan()) == [
        ("NetworkPolicy kafka is gone: nothing limits these pods' traffic any more but other policies", True)
    ]


def test_logins_are_told_without_their_passwords() -> None:
    before, after = (
        secret_files(
            web__yml={"basic_auth_users": dict.fromkeys(users, "hash")}, clients__htpasswd=f"{users[-1]}:hash\n"
        )
        for users in (["a"], ["a", "b"])
    )
    told = _resource(before, after)
    assert told == [
        ("secret/web.yml: user b can log in", True),
        ("secret/clients.htpasswd: user b can log in", True),
        ("secret/clients.htpasswd: user a can no longer log in", False),
    ]


def test_a_server_that_needs_no_login_any_more_is_marked() -> None:
    tls = {"cert_file": "a"}
    before = secret_files(web__yml={"tls_server_config": tls, "basic_auth_users": {"a": "hash"}})
    after = secret_files(web__yml={"tls_server_config": tls})
    assert ("secret/web.yml: nobody needs to log in any more", True) in _resource(before, after)


def test_shorter_retention_and_other_versions_are_told() -> None:
    after = template(image="obs/kafka:2")
    after["spec"]["containers"][0]["command"] = ["serve", "--storage.tsdb.retention.time", "7d"]
    assert _resource(stateful_set(), stateful_set(template=after)) == [
        ("StatefulSet kafka, main: runs `kafka:2` instead of `kafka:1`", False),
        ("StatefulSet kafka keeps samples 7d instead of 30d", True),
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "r.example/a/kafka:1@sha256:x",
            "r.example/a/kafka:2@sha256:y",
            "`kafka:2@sha256:y` instead of `kafka:1@sha256:x`",
        ),
        ("r.example/kafka:1", "elsewhere/kafka:1", "`elsewhere/kafka:1` instead of `r.example/kafka:1`"),
        ("kafka:1", "kafka:2", "`kafka:2` instead of `kafka:1`"),
        ("a/kafka:1", UNKNOWN, "`(unknown)` instead of `a/kafka:1`"),
    ],
)
def test_images_are_told_with_their_registry_where_it_changes(before: str, after: Any, told: str) -> None:
    changed = _resource(stateful_set(template=template(before)), stateful_set(template=template(after)))
    assert changed == [(f"StatefulSet kafka, main: runs {told}", False)]


def test_dashboards_are_told_by_panel() -> None:
    def dashboard(*panels: dict[str, Any], **more: Any) -> Planned:
        return files(dashboard__json={"uid": "o", "title": "Overview", "panels": list(panels), **more})

    lag, rate = ({"title": title, "targets": [{"expr": expr}]} for title, expr in (("Lag", "a"), ("Rate", "b")))
    assert _resource(dashboard(lag), dashboard({**lag, "targets": [{"expr": "c"}]}, rate)) == [
        ("dashboard Overview: new panel Rate", False),
        ("dashboard Overview: panel Lag shows `c` instead of `a`", False),
    ]
    assert _resource(dashboard(lag, rate), dashboard({"title": "row", "panels": [lag]}, refresh="5s")) == [
        ("dashboard Overview: new panel row", False),
        ("dashboard Overview: panel Rate is gone", True),
        ("dashboard Overview: refresh changed", False),
    ]
    assert _told(plan(dashboard(lag)), plan()) == [("dashboard Overview is gone", True)]


def test_a_dashboard_resource_is_read_as_well() -> None:
    token = "grafana:oss/dashboard:Dashboard"
    dashboard = planned(token, "x", {"configJson": '{"title": "Layer", "panels": []}'})
    assert _told(plan(), plan(dashboard)) == [("new dashboard Layer", False)]


def test_changes_of_the_policies_themselves_are_told() -> None:
    exception = {"rule": "a", "resource": "Service obs/x", "reason": "until March", "expires": "2027-03-31"}
    before = plan(rules={"a": "mandatory", "b": "mandatory"})
    after = plan(rules={"a": "advisory", "c": "mandatory"}, exceptions=(exception,))
    assert _told(before, after) == [
        ("1 new rule: c", False),
        ("rule b is gone", True),
        ("rule a is now advisory instead of mandatory", True),
        ("new exception from a for Service obs/x until 2027-03-31: until March", True),
    ]


def test_many_new_rules_are_counted() -> None:
    told = _told(plan(), plan(rules={f"r{index}": "mandatory" for index in range(20)}))
    assert told == [("20 new rules: r0, r1, r2, r3, r4, r5, r6, r7 and 12 more", False)]


def test_a_whole_stack_that_comes_or_goes_has_no_sentences() -> None:
    assert explain(StackPlan("test"), plan(topic())) == []


def test_sentences_are_gathered_over_stacks_in_the_order_of_their_subjects() -> None:
    alert, access = Statement(Subject.THRESHOLDS, "a", True), Statement(Subject.ACCESS, "b")
    gathered = together({"prod": [access, alert], "dr": [alert]})
    assert list(gathered.items()) == [(alert, ["prod", "dr"]), (access, ["prod"])]


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1 s"), (90, "90 s"), (60, "60 s"), (300, "5 min"), (7200, "2 h"), (1_209_600, "14 d")]
)
def test_durations_are_written_in_their_largest_whole_unit(value: float, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize(("text", "value"), [("1h30m", 5400), ("250ms", 0.25), ("", 0), ("soon", None), ("5", None)])
def test_durations_are_read(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_code_keeps_backticks_and_stays_on_one_line() -> None:
    assert code("a `b`\nc") == "`` a `b` c ``"
