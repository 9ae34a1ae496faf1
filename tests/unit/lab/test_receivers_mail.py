"""The mail server's fake: Python's own mail client, with and without TLS and login."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage

import pytest

from lab.fakes.receivers.settings import MAIL_USER
from tests.unit.lab.receivers_fakes import Fakes


def message() -> EmailMessage:
    email_message = EmailMessage()
    email_message["Subject"] = "[CRITICAL 緊急] KafkaBrokerDown: broker is gone"
    email_message["From"], email_message["To"] = "alerts@example.org", "a@example.org, b@example.org"
    email_message.set_content("テキスト ops ack KafkaBrokerDown/instance=kafka-1")
    email_message.add_alternative("<p>ops ack KafkaBrokerDown/instance=kafka-1 &amp; more</p>", subtype="html")
    return email_message


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_mail_with_tls_and_login_is_taken_for_each_recipient(all_fakes: Fakes, mechanism: str) -> None:
    with smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=all_fakes.ca))
        client.ehlo()
        client.esmtp_features["auth"] = mechanism
        client.login(MAIL_USER, all_fakes.secrets.mail_password)
        client.send_message(message())
    notifications = all_fakes.record.since()
    assert [notification.audience for notification in notifications] == ["a@example.org", "b@example.org"]
    first = notifications[0]
    assert (first.channel, first.title) == ("mail", "[CRITICAL 緊急] KafkaBrokerDown: broker is gone")
    assert first.body["text"] == "テキスト ops ack KafkaBrokerDown/instance=kafka-1\n"
    assert first.body["html"] == "<p>ops ack KafkaBrokerDown/instance=kafka-1 &amp; more</p>\n"
    assert first.body["sender"] == "alerts@example.org"
    assert first.body["headers"]["To"] == "a@example.org, b@example.org"


def test_plain_text_alone_is_taken(all_fakes: Fakes) -> None:
    with smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=all_fakes.ca))
        client.login(MAIL_USER, all_fakes.secrets.mail_password)
        client.sendmail("a@example.org", ["b@example.org"], b"Subject: hello\r\n\r\nbody\r\n")
    body = all_fakes.record.since()[0].body
    assert (body["subject"], body["text"].strip(), body["html"]) == ("hello", "body", "")


def test_mail_without_tls_is_refused(all_fakes: Fakes) -> None:
    with smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60) as client:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.login(MAIL_USER, all_fakes.secrets.mail_password)
        with pytest.raises(smtplib.SMTPResponseException, match="STARTTLS"):
            client.send_message(message())
    assert all_fakes.record.since() == []


@pytest.mark.parametrize(("user", "password"), [(MAIL_USER, "wrong"), ("other", None), (MAIL_USER, "")])
def test_mail_with_a_wrong_login_is_refused(all_fakes: Fakes, user: str, password: str | None) -> None:
    with smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=all_fakes.ca))
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(user, all_fakes.secrets.mail_password if password is None else password)
    assert all_fakes.record.since() == []


def test_mail_without_a_login_is_refused(all_fakes: Fakes) -> None:
    with smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60) as client:
        client.starttls(context=ssl.create_default_context(cafile=all_fakes.ca))
        with pytest.raises(smtplib.SMTPResponseException, match="Authentication required"):
            client.send_message(message())
    assert all_fakes.record.since() == []


def test_a_client_without_the_authority_sends_nothing(all_fakes: Fakes) -> None:
    client = smtplib.SMTP("localhost", all_fakes.mail_port, timeout=60)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
    client.close()
    assert all_fakes.record.since() == []
