"""Who can be notified: what follows from the contacts, and what is said about mistakes in them."""

from __future__ import annotations

from dataclasses import replace
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


@pytest.mark.parametrize(
    ("contact", "severity", "expected"),
    [
        (Contact(mail="a@example.org"), Severity.CRITICAL, (Channel.MAIL,)),
        (Contact(phone=True), Severity.HIGH, (Channel.PHONE,)),
        (Contact(phone=True, slack=True), Severity.MEDIUM, (Channel.PHONE, Channel.SLACK)),
        (Contact(), Severity.CRITICAL, ()),
    ],
)
def test_a_priority_without_any_of_its_channels_goes_by_all_others(
    contact: Contact, severity: Severity, expected: tuple[Channel, ...]
) -> None:
    assert channels(**{FIRST: contact}).first_channels(severity) == expected


@pytest.mark.parametrize(
    ("contact", "absent", "message"),
    [
        (Contact(phone=True), "phone_url", "a phone, but there is no paging service: name one"),
        (Contact(mail="a@example.org"), "mail_server", "a mail address, but there is no mail server: name one"),
        (Contact(sms_topic="arn"), "sms_region", "an sms_topic, but there is no region of SNS: set it"),
    ],
)
def test_a_channel_that_there_is_not_is_refused(contact: Contact, absent: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(channels(**{FIRST: Contact(slack=True)}), contacts={FIRST: contact}, **{absent: None})
    assert str(error.value) == f"alerting.contacts.{FIRST} has {message}"


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
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(contacts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        channels(**contacts)
    assert str(error.value) == message
