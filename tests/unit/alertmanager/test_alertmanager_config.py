"""``alertmanager.yml`` as data: receivers follow from contacts, no secret is in it, nothing is lost or unverified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.alerting.escalation import TIMINGS, Timing
from components.alertmanager.config import (
    DAILY_REPORT,
    FALLBACK,
    GROUP_BY,
    HEARTBEAT,
    AlertmanagerConfig,
    alertmanager_config,
    first_receiver,
    paged_routes,
    template_files,
)
from components.alertmanager.receivers import FIRST, Contact, EventsWebhook
from components.rules import Severity
from tests.unit.alertmanager.stubs import CONTACTS, ESCALATION, INHIBITION, channels

EVENTS = EventsWebhook(url="https://alert-events:8443/processed", username="alertmanager", server_name="alert-events")
OUTSIDE = ("pagerduty_configs", "sns_configs", "slack_configs", "email_configs")


def rendered(**changes: Any) -> dict[str, Any]:
    return alertmanager_config(
        AlertmanagerConfig(**{"channels": channels(), "events": EVENTS, "escalation": ESCALATION, **changes})
    )


def integrations(config: dict[str, Any], name: str) -> list[str]:
    """Kinds of integrations of a receiver."""
    matching_receiver = next(candidate for candidate in config["receivers"] if candidate["name"] == name)
    return [key for key in matching_receiver if key != "name"]


def entries(config: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Receiver, kind and content of each integration."""
    for receiver in config["receivers"]:
        for kind, content in receiver.items():
            if kind != "name":
                for entry in content:
                    yield receiver["name"], kind, entry


@pytest.mark.parametrize(
    ("receiver", "expected"),
    [
        ("operators-critical-phone", ["pagerduty_configs", "webhook_configs"]),
        ("operators-critical", ["sns_configs", "slack_configs", "webhook_configs"]),
        ("operators-high-mail", ["email_configs", "webhook_configs"]),
        ("operators-high", ["slack_configs", "webhook_configs"]),
        ("operators-medium", ["email_configs", "webhook_configs"]),
        (DAILY_REPORT, ["webhook_configs"]),
        (FALLBACK, ["slack_configs", "email_configs", "webhook_configs"]),
        (HEARTBEAT, ["webhook_configs"]),
        ("senior-manager-phone", ["pagerduty_configs", "webhook_configs"]),
        ("senior-manager", ["email_configs", "webhook_configs"]),
        ("on-call-engineer", ["pagerduty_configs", "webhook_configs"]),
        ("team-leader", ["email_configs", "webhook_configs"]),
    ],
)
def test_a_receiver_tells_by_the_channels_of_its_contact_and_tells_kafka(receiver: str, expected: list[str]) -> None:
    assert integrations(rendered(), receiver) == expected


def test_mail_shares_no_receiver_with_another_channel_and_both_are_told() -> None:
    config = rendered(channels=channels(**{**CONTACTS, "team-leader": Contact(mail="a@example.org", slack=True)}))
    for receiver in config["receivers"]:
        if receiver["name"] != FALLBACK and "email_configs" in receiver:
            assert set(receiver) == {"name", "email_configs", "webhook_configs"}
    for matcher, name in (('severity="high"', "operators-high"), ('escalation="team-leader"', "team-leader")):
        routes = [route for route in config["route"]["routes"] if route["matchers"] == [matcher]]
        assert [route["receiver"] for route in routes] == [f"{name}-mail", name]
        assert [route.get("continue", False) for route in routes] == [True, False]


def test_a_contact_without_a_phone_is_not_called() -> None:
    silent = rendered(channels=channels(**{**CONTACTS, FIRST: Contact(mail="a@example.org", slack=True)}))
    assert integrations(silent, "operators-critical") == ["slack_configs", "webhook_configs"]


def test_the_fallback_of_a_contact_that_has_a_phone_and_mail_is_mail() -> None:
    calm = rendered(channels=channels(**{**CONTACTS, FIRST: Contact(mail="a@example.org", phone=True)}))
    assert integrations(calm, FALLBACK) == ["email_configs", "webhook_configs"]


def test_every_route_has_a_receiver_and_every_receiver_a_route() -> None:
    config = rendered()
    used = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    assert used == {receiver["name"] for receiver in config["receivers"]}


def test_a_storm_of_one_kind_is_one_notification_and_escalated_alerts_are_apart() -> None:
    assert rendered()["route"]["group_by"] == list(GROUP_BY)
    assert {"alertname", "severity", "escalation"} <= set(GROUP_BY)
    assert not {"alert_id", "instance"} & set(GROUP_BY)


def test_each_alert_that_rings_a_phone_is_a_group_of_its_own_and_the_other_channels_group_as_they_do() -> None:
    config = rendered()
    paging = {receiver["name"] for receiver in config["receivers"] if "pagerduty_configs" in receiver}
    assert paging == {"operators-critical-phone", "senior-manager-phone", "on-call-engineer"}
    for route in config["route"]["routes"]:
        assert route.get("group_by") == (["..."] if route["receiver"] in paging else None)
    for name in paging:
        (only,) = (receiver for receiver in config["receivers"] if receiver["name"] == name)
        assert set(only) == {"name", "pagerduty_configs", "webhook_configs"}


def test_a_route_that_rings_a_phone_goes_on_to_that_of_the_other_channels_if_there_are_some() -> None:
    routes = rendered()["route"]["routes"]
    routes_by_receiver = {route["receiver"]: route for route in routes}
    assert [route["receiver"] for route in routes if route["matchers"] == ['severity="critical"']] == [
        "operators-critical-phone",
        "operators-critical",
    ]
    assert routes_by_receiver["operators-critical-phone"]["continue"] is True
    assert routes_by_receiver["senior-manager-phone"]["continue"] is True
    assert not any(
        "continue" in routes_by_receiver[name] for name in ("operators-critical", "senior-manager", "on-call-engineer")
    )


def test_two_priorities_that_escalate_to_one_contact_call_it_once() -> None:
    escalation = {Severity.CRITICAL: "senior-manager", Severity.HIGH: "senior-manager"}
    matchers = [route["matchers"] for route in rendered(escalation=escalation)["route"]["routes"]]
    assert matchers.count(['escalation="senior-manager"']) == 2


def test_what_closes_incidents_knows_each_receiver_that_rings_a_phone_by_its_routes_name() -> None:
    settings = AlertmanagerConfig(channels=channels(), events=EVENTS, escalation=ESCALATION)
    assert {name: (route.contact, route.key) for name, route in paged_routes(settings).items()} == {
        "operators-critical-phone": (FIRST, '{}/{severity="critical"}'),
        "senior-manager-phone": ("senior-manager", '{}/{escalation="senior-manager"}'),
        "on-call-engineer": ("on-call-engineer", '{}/{escalation="on-call-engineer"}'),
    }


def test_an_escalated_alert_has_the_timing_of_its_priority() -> None:
    timings = {**TIMINGS, Severity.CRITICAL: Timing(group_wait="2s", group_interval="3s", repeat_interval="4s")}
    routes = {route["matchers"][0]: route for route in rendered(timings=timings)["route"]["routes"]}
    for matcher in ('escalation="senior-manager"', 'severity="critical"'):
        assert routes[matcher]["group_wait"] == "2s"
        assert routes[matcher]["group_interval"] == "3s"
        assert routes[matcher]["repeat_interval"] == "4s"
    assert routes['escalation="team-leader"']["group_wait"] == TIMINGS[Severity.MEDIUM].group_wait


def test_the_pager_is_told_again_as_soon_as_an_escalation_and_other_channels_are_not() -> None:
    repeats = {route["receiver"]: route["repeat_interval"] for route in rendered()["route"]["routes"]}
    assert repeats["operators-critical-phone"] == repeats["senior-manager-phone"] == repeats["on-call-engineer"] == "5m"
    assert repeats["operators-critical"] == repeats["senior-manager"] == TIMINGS[Severity.CRITICAL].repeat_interval
    assert repeats["operators-high"] == TIMINGS[Severity.HIGH].repeat_interval


def test_people_hear_of_the_end_and_the_dead_mans_switch_does_not() -> None:
    for name, _, content in entries(rendered()):
        assert content["send_resolved"] is (name != HEARTBEAT)


@pytest.mark.parametrize("private", [True, False])
def test_receivers_outside_are_verified_by_the_private_authority_where_there_is_one(private: bool) -> None:
    expected = "/etc/alertmanager-secrets/authority.crt" if private else None
    for name, kind, content in entries(rendered(private_authority=private)):
        if kind in OUTSIDE or name == HEARTBEAT:
            tls = content["tls_config"] if kind == "email_configs" else content["http_config"]["tls_config"]
            assert tls.get("ca_file") == expected
        else:
            assert content["http_config"]["tls_config"]["ca_file"] == "/etc/tls/ca.crt"
            assert content["http_config"]["tls_config"]["server_name"] == "alert-events"


def test_no_connection_is_unverified_and_none_is_redirected() -> None:
    for _, kind, content in entries(rendered()):
        tls = content["tls_config"] if kind == "email_configs" else content["http_config"]["tls_config"]
        assert tls["min_version"] == "TLS12"
        assert "insecure_skip_verify" not in tls
        if kind == "email_configs":
            assert content["require_tls"] is True
        else:
            assert content["http_config"]["follow_redirects"] is False


def test_the_address_of_sns_is_that_of_aws_unless_another_one_is_named() -> None:
    [sms] = [content for _, kind, content in entries(rendered()) if kind == "sns_configs"]
    assert "api_url" not in sms
    assert sms["sigv4"] == {"region": "ap-northeast-1"}
    assert sms["topic_arn"] == CONTACTS[FIRST].sms_topic


def test_an_inhibition_names_all_sources_and_targets() -> None:
    assert rendered(inhibitions=(INHIBITION,))["inhibit_rules"] == [
        {
            "source_matchers": ['alertname=~"Down|Gone"'],
            "target_matchers": ['alertname=~"Slow|SlowEscalated"'],
            "equal": ["job"],
        }
    ]


def test_an_escalation_to_somebody_unknown_is_a_mistake_in_one_line() -> None:
    with pytest.raises(
        ValueError,
        match=r"^alerting\.contacts has no boss, whom critical alerts escalate to: add it; there are operators, ",
    ):
        rendered(escalation={Severity.CRITICAL: "boss"})


def test_low_alerts_are_for_the_daily_report_only() -> None:
    assert [first_receiver(severity) for severity in Severity] == [
        "operators-critical",
        "operators-high",
        "operators-medium",
        DAILY_REPORT,
    ]


def test_every_template_that_a_receiver_names_is_in_a_file() -> None:
    files = "".join(template_files().values())
    named = [
        word.split('"')[1] for _, _, content in entries(rendered()) for word in str(content).split("{{ template ")[1:]
    ]
    assert named
    for name in named:
        assert f'{{{{ define "{name}" -}}}}' in files
