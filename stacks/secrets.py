"""Secrets of a stack's configuration: read here, and secret from here on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi

from stacks.alert_settings import Alerting
from stacks.settings import CONFIG_NAMESPACE, SettingsError

SECRETS_KEY = "alertingSecrets"
SECRET_NAMES = (
    "phone_keys",
    "slack_url",
    "mail_password",
    "sms_access_key_id",
    "sms_secret_access_key",
    "heartbeat_url",
    "authority",
)
_UNKNOWN = "not-set-yet-for-previews-only---"


def oidc_client_secret() -> pulumi.Output[str]:
    """Password of the client at the identity provider; a preview may do without.

    Raises:
        SettingsError: It is missing in an update.
    """
    name = "oidcClientSecret"
    found = pulumi.Config(CONFIG_NAMESPACE).get_secret(name)
    if found is not None:
        return found
    missing = (
        f"Pulumi.{pulumi.get_stack()}.yaml: {CONFIG_NAMESPACE}:{name} is missing: allowed is the client's password; "
        f"run `pulumi config set --secret {CONFIG_NAMESPACE}:{name}`"
    )
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(missing)
    pulumi.log.warn(missing)
    return pulumi.Output.secret("not set yet, for previews only")


def alerting_secrets(settings: Alerting) -> pulumi.Output[dict[str, Any]]:
    """The secrets of the channels, from ``observability:alertingSecrets``; a preview may do without.

    Raises:
        SettingsError: They are missing in an update, or not what is needed; the message shows none of them.
    """
    # Plain, so that a mistake is one line before anything is made; what leaves this function is secret again.
    found = pulumi.Config(CONFIG_NAMESPACE).get(SECRETS_KEY)
    where = f"Pulumi.{pulumi.get_stack()}.yaml: {CONFIG_NAMESPACE}:{SECRETS_KEY}"
    phones = [name for name, contact in settings.contacts.items() if contact.phone]
    if found is not None:
        return pulumi.Output.secret(_checked(found, where, phones))
    told = (
        f"{where} is missing: allowed is a JSON object with {', '.join(SECRET_NAMES)}; put it into a file and run "
        f"`pulumi config set --secret {CONFIG_NAMESPACE}:{SECRETS_KEY} < FILE`"
    )
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(told)
    pulumi.log.warn(told)
    return pulumi.Output.secret(
        {**dict.fromkeys(SECRET_NAMES, _UNKNOWN), "phone_keys": dict.fromkeys(phones, _UNKNOWN), "authority": ""}
    )


def _checked(text: str, where: str, phones: list[str]) -> dict[str, Any]:
    """The object in ``text``.

    Raises:
        SettingsError: It is not what is needed.
    """
    try:
        content = json.loads(text)
    except ValueError:
        raise SettingsError(f"{where} is no JSON: allowed is an object with {', '.join(SECRET_NAMES)}") from None
    if not isinstance(content, Mapping) or set(content) != set(SECRET_NAMES):
        given = sorted(map(str, content)) if isinstance(content, Mapping) else []
        wrong = ", ".join(sorted(set(given) ^ set(SECRET_NAMES))) or "no object"
        raise SettingsError(f"{where}: {wrong}: allowed are exactly the keys {', '.join(SECRET_NAMES)}")
    keys = content["phone_keys"]
    missing = [name for name in phones if not (isinstance(keys, Mapping) and keys.get(name))]
    if missing:
        raise SettingsError(f"{where}: phone_keys lacks {', '.join(missing)}: add one for every phone")
    empty = [name for name in SECRET_NAMES if name not in ("phone_keys", "authority") and not content[name]]
    if empty:
        raise SettingsError(f"{where}: {', '.join(empty)} is empty: give it a value")
    return dict(content)
