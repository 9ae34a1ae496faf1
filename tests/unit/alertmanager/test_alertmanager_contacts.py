"""Who can be notified: what follows from the contacts, and what is said about mistakes in them."""

from __future__ import annotations

from typing import Any

import pytest

from components.alertmanager.receivers import FIRST, Channel, Contact, phone_file
from components.rules import Severity
from tests.unit.alertmanager.stubs import CONTACTS, channels


def test_a_contact_has_the_channels_that_are_set_the_loudest_first() -> None:
    assert CONTACTS[FIRST].channels == (Channel.PHONE, Channel.SMS, Channel.SLACK, Channel.MAIL)
    assert Contact(mail="a@example.org").channels == (Channel.MAIL,)
    assert Contact().channels == ()


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.CRITICAL, (Channel.PHONE, Channel.SMS, Channel.SLACK)),
        (Severity.HIGH, (Channel.SLACK, Channel.MAIL)),
        (Severity.MEDIUM, (Channel.MAIL,)),
    ],
)
def test_the_first_notification_goes_by_the_channels_of_its_priority(
    severity: Severity, expected: tuple[Channel, ...]
) -> None:
    assert channels().first_channels(severity) == expected


def test_a_channel_that_the_first_contact_lacks_is_left_out() -> None:
    few = channels(**{FIRST: Contact(mail="a@example.org", phone=True)})
    assert few.first_channels(Severity.CRITICAL) == (Channel.PHONE,)
    assert few.first_channels(Severity.HIGH) == (Channel.MAIL,)


def test_every_phone_has_a_routing_key_of_its_own() -> None:
    assert channels().phones == (FIRST, "senior-manager", "on-call-engineer")
    assert len({phone_file(name) for name in channels().phones}) == 3


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        (
            {"someone": Contact(mail="a@example.org")},
            "alerting.contacts has no operators: add it, it is the contact that is told first",
        ),
        (
            {**CONTACTS, "team-leader": Contact()},
            "alerting.contacts.team-leader has no channel, so nobody would be notified: "
            "set at least one of mail, phone, sms_topic and slack",
        ),
        (
            {FIRST: Contact(mail="a@example.org")},
            "alerting.contacts.operators: critical alerts are told by phone, sms, slack, and it has none of them: "
            "set at least one",
        ),
        (
            {FIRST: Contact(phone=True)},
            "alerting.contacts.operators: high alerts are told by slack, mail, and it has none of them: "
            "set at least one",
        ),
        (
            {FIRST: Contact(phone=True, slack=True)},
            "alerting.contacts.operators: medium alerts are told by mail, and it has none of them: set at least one",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(contacts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        channels(**contacts)
    assert str(error.value) == message
