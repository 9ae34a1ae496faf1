"""The secrets of the channels as the files that Alertmanager reads them from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from components.alertmanager.contacts import (
    AUTHORITY_FILE,
    AWS_FILE,
    HEARTBEAT_FILE,
    MAIL_PASSWORD_FILE,
    Channels,
    phone_file,
    slack_file,
)


def receiver_files(channels: Channels, secrets: pulumi.Input[Mapping[str, Any]]) -> dict[str, pulumi.Output[str]]:
    """File name -> secret; every contact that is paged or told by Slack has one for that.

    Args:
        channels: Who is notified.
        secrets: As ``AlertmanagerArgs.secrets`` describes them.
    """
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.secret(secrets)

    def of(choose: Callable[[Mapping[str, Any]], object]) -> pulumi.Output[str]:
        return known.apply(lambda values: str(choose(values) or ""))

    def key_of(contact: str) -> pulumi.Output[str]:
        return of(lambda values: values["phone_keys"][contact])

    def webhook_of(contact: str) -> pulumi.Output[str]:
        return of(lambda values: values["slack_urls"][contact])

    return {
        **{phone_file(contact): key_of(contact) for contact in channels.phones},
        **{slack_file(contact): webhook_of(contact) for contact in channels.slacks},
        MAIL_PASSWORD_FILE: of(lambda values: values["mail_password"]),
        AWS_FILE: of(aws_file),
        HEARTBEAT_FILE: of(lambda values: values["heartbeat_url"]),
        AUTHORITY_FILE: of(lambda values: values["authority"]),
    }


def has_authority(secrets: pulumi.Input[Mapping[str, Any]]) -> pulumi.Output[bool]:
    """Whether the receivers have an authority of their own; that alone is no secret."""
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.from_input(secrets)
    return pulumi.Output.unsecret(known.apply(lambda values: bool(values["authority"])))


def aws_file(secrets: Mapping[str, Any]) -> str:
    """The credentials file by which SNS is called."""
    return (
        "[default]\n"
        f"aws_access_key_id = {secrets['sms_access_key_id']}\n"
        f"aws_secret_access_key = {secrets['sms_secret_access_key']}\n"
    )
