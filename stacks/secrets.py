"""Secrets of a stack's configuration: read here, and secret from here on; and the object storage that they open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.contracts import ObjectStorage
from components.storage_roles import WITNESS_PREFIX, StorageRole
from stacks.settings import CONFIG_NAMESPACE, Settings, SettingsError
from stacks.stage_settings import Alerting, Storage

SECRETS_KEY = "alertingSecrets"
SECRET_NAMES = (
    "phone_keys",
    "slack_urls",
    "mail_password",
    "sms_access_key_id",
    "sms_secret_access_key",
    "heartbeat_url",
    "authority",
)
DIRECTORY_KEY, DIRECTORY_NAMES = "directorySecrets", ("bind_password", "authority")
STORAGE_KEY, STORAGE_NAMES = "objectStorageSecrets", ("access_key_id", "secret_access_key", "authority")
IDENTITY_KEY, IDENTITY_NAMES = "identitySecrets", ("client_secret", "tool_secret", "authority")
ROLES_KEY, ROLE_NAMES = "objectStorageRoles", ("access_key_id", "secret_access_key")
WITNESS_KEY = "witnessSecrets"
CLUSTER_AUDIT_KEY, CLUSTER_AUDIT_NAMES = "clusterAuditSecrets", ("token", "certificate", "key")
DATABASE_KEY, DATABASE_NAMES = "databaseSecrets", ("password", "authority")
OIDC_KEY, OIDC_NAMES = "grafanaOidcSecrets", ("client_secret", "authority")
RECIPIENTS_KEY, RECIPIENTS_NAMES = "backupRecipients", ("recipients",)
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_PREVIEWED_RECIPIENT = "age1" + 58 * "q"
_MAY_BE_EMPTY = ("phone_keys", "slack_urls", "authority", "tool_secret")
_UNKNOWN = "not-set-yet-for-previews-only---"


@dataclass(frozen=True, kw_only=True)
class IdentitySecrets:
    """What the identity provider knows us by.

    Attributes:
        client_secret: Password of the client of the trace queries.
        tool_secret: Password of the client of the command line tools; empty where there is none.
        authority: PEM of who signs the provider's certificate, no secret; empty for a public authority.
    """

    client_secret: pulumi.Output[str]
    tool_secret: pulumi.Output[str]
    authority: str


def identity_secrets(*, tool: bool) -> IdentitySecrets:
    """Passwords at the identity provider, from ``observability:identitySecrets``; a preview may do without.

    Args:
        tool: Whether the command line tools have a client.

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    authorities = [""]

    def check(content: Mapping[str, Any], where: str) -> None:
        if tool and not content["tool_secret"]:
            raise SettingsError(f"{where}: tool_secret is empty: give the password of tool_client_id")
        authorities.append(str(content["authority"]))

    secrets = _object(IDENTITY_KEY, IDENTITY_NAMES, check=check)
    return IdentitySecrets(
        client_secret=secrets.apply(lambda content: str(content["client_secret"])),
        tool_secret=secrets.apply(lambda content: str(content["tool_secret"])),
        authority=authorities[-1],
    )


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A secret that a platform needs: its key, and what reads and checks it."""

    key: str
    read: Callable[[], object]


def needed(settings: Settings) -> tuple[Needed, ...]:
    """Every secret that the platform of some settings reads, once."""
    identity = settings.traces.identity
    alerting, roles = settings.alerting, settings.object_storage.roles
    return (
        *((Needed(key=SECRETS_KEY, read=lambda: alerting_secrets(alerting)),) if _alerting_names(alerting) else ()),
        *((Needed(key=DIRECTORY_KEY, read=directory_secrets),) if settings.grafana.ldap else ()),
        *(
            (Needed(key=IDENTITY_KEY, read=lambda: identity_secrets(tool=identity.tool_client_id is not None)),)
            if identity
            else ()
        ),
        Needed(key=STORAGE_KEY, read=storage_secrets),
        *((Needed(key=ROLES_KEY, read=lambda: role_secrets(roles)),) if roles else ()),
        *((Needed(key=WITNESS_KEY, read=witness_secrets),) if settings.regions.witness else ()),
        *((Needed(key=CLUSTER_AUDIT_KEY, read=cluster_audit_secrets),) if settings.audit.cluster else ()),
        Needed(key=RECIPIENTS_KEY, read=backup_recipients),
        *((Needed(key=DATABASE_KEY, read=database_secrets),) if settings.database.external else ()),
        *((Needed(key=OIDC_KEY, read=grafana_oidc_secrets),) if settings.grafana.oidc else ()),
    )


def grafana_oidc_secrets() -> tuple[pulumi.Output[str], str]:
    """Password of Grafana's client at its identity provider, and the PEM of who signs for it (empty: a public one).

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _with_authority(OIDC_KEY, OIDC_NAMES)


def database_secrets() -> tuple[pulumi.Output[str], str]:
    """Password of Grafana's user at a database elsewhere, and the PEM of who signs for it (empty: a public authority).

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _with_authority(DATABASE_KEY, DATABASE_NAMES)


def _with_authority(key: str, names: tuple[str, str]) -> tuple[pulumi.Output[str], str]:
    """A password, and the authority beside it, which is no secret."""
    authorities = [""]
    secrets = _object(key, names, check=lambda content, _: authorities.append(str(content["authority"])))
    return secrets.apply(lambda content: str(content[names[0]])), authorities[-1]


def alerting_secrets(settings: Alerting) -> pulumi.Output[dict[str, Any]]:
    """The secrets of the channels, from ``observability:alertingSecrets``; a preview may do without.

    Where no channel is set up, none is read.

    Raises:
        SettingsError: They are missing in an update, or not what is needed; the message shows none of them.
    """
    needed = {
        "phone_keys": [name for name, contact in settings.contacts.items() if contact.phone],
        "slack_urls": [name for name, contact in settings.contacts.items() if contact.slack],
    }
    what = {
        "phone_keys": "the routing key of every contact with phone: true",
        "slack_urls": "the webhook (https://...) of every contact with slack: true",
    }

    def check(content: Mapping[str, Any], where: str) -> None:
        for key, names in needed.items():
            given = content[key]
            missing = [name for name in names if not (isinstance(given, Mapping) and given.get(name))]
            if missing:
                raise SettingsError(f"{where}: {key} lacks {', '.join(missing)}: add {what[key]}")
        webhooks = content["slack_urls"]
        wrong = [name for name in needed["slack_urls"] if not str(webhooks[name]).startswith("https://")]
        if wrong:
            raise SettingsError(f"{where}: slack_urls of {', '.join(wrong)} is no https:// address: give the webhook's")
        shared = [name for name in needed["slack_urls"] if list(webhooks.values()).count(webhooks[name]) > 1]
        if shared:
            raise SettingsError(
                f"{where}: slack_urls of {' and '.join(shared)} are the same: a webhook tells one channel, "
                "so give every contact its own"
            )

    names = _alerting_names(settings)
    if not names:
        return pulumi.Output.secret({"phone_keys": {}, "slack_urls": {}, "authority": ""})
    return _object(SECRETS_KEY, names, {key: dict.fromkeys(names, _UNKNOWN) for key, names in needed.items()}, check)


def _alerting_names(settings: Alerting) -> list[str]:
    """Names of the channels' secrets; none where there is no channel and no dead man's switch."""
    if not (settings.tells or settings.heartbeat):
        return []
    texts = any(contact.sms_topic for contact in settings.contacts.values())
    used = {
        "mail_password": settings.channels.mail is not None,
        "sms_access_key_id": texts,
        "sms_secret_access_key": texts,
        "heartbeat_url": settings.heartbeat,
    }
    return [name for name in SECRET_NAMES if used.get(name, True)]


def directory_secrets() -> pulumi.Output[dict[str, Any]]:
    """Password of the account that searches the directory, and the PEM of who signs for it (empty: a public authority).

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _object(DIRECTORY_KEY, DIRECTORY_NAMES)


def storage_secrets() -> pulumi.Output[dict[str, Any]]:
    """Keys of the object storage, and the PEM of who signs for it (empty: a public authority).

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _object(STORAGE_KEY, STORAGE_NAMES)


def role_secrets(roles: Sequence[StorageRole]) -> pulumi.Output[dict[str, Any]]:
    """Role -> its key of the object storage, from ``observability:objectStorageRoles``.

    Args:
        roles: Those with a key of their own: exactly these.

    Raises:
        SettingsError: As `alerting_secrets`.
    """

    def check(content: Mapping[str, Any], where: str) -> None:
        ids: dict[str, str] = {}
        for role, key in content.items():
            if not isinstance(key, Mapping) or set(key) != set(ROLE_NAMES) or not all(key.values()):
                raise SettingsError(f"{where}: {role} is no key: allowed is an object with {', '.join(ROLE_NAMES)}")
            other = ids.setdefault(str(key["access_key_id"]), role)
            if other != role:
                raise SettingsError(f"{where}: {other} and {role} have the same key: give each role one of its own")

    previewed = {str(role): dict.fromkeys(ROLE_NAMES, f"{_UNKNOWN}{role}") for role in roles}
    return _object(ROLES_KEY, [str(role) for role in roles], previewed, check)


def witness_secrets() -> pulumi.Output[dict[str, Any]]:
    """Keys of the bucket in which both regions see which region is active, and the PEM of who signs for it.

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _object(WITNESS_KEY, STORAGE_NAMES)


def cluster_audit_secrets() -> pulumi.Output[dict[str, Any]]:
    """Token that the API server shows where it posts its audit events, and certificate and key that it trusts there.

    Raises:
        SettingsError: As `alerting_secrets`.
    """
    return _object(CLUSTER_AUDIT_KEY, CLUSTER_AUDIT_NAMES)


def backup_recipients() -> tuple[str, ...]:
    """Public keys (age) of those who can open backups: nobody inside the cluster can.

    They are no secrets, but like the keys of the object storage they are each installation's own.

    Raises:
        SettingsError: They are missing in an update, or are no public keys.
    """
    where = _where(RECIPIENTS_KEY)
    configured = pulumi.Config(CONFIG_NAMESPACE).get(RECIPIENTS_KEY)
    if configured is None:
        _absent(
            f'{where} is missing: allowed is a JSON object such as {{"recipients": ["age1..."]}}; make a key with '
            f"`age-keygen`, and run `pulumi config set {CONFIG_NAMESPACE}:{RECIPIENTS_KEY} < FILE`"
        )
        return (_PREVIEWED_RECIPIENT,)
    recipients = _checked(configured, where, RECIPIENTS_NAMES)["recipients"]
    wrong = (
        [recipient for recipient in recipients if not _RECIPIENT.fullmatch(str(recipient))]
        if isinstance(recipients, list)
        else []
    )
    if not isinstance(recipients, list) or wrong:
        raise SettingsError(
            f"{where}: recipients is no list of public keys: allowed are keys such as age1 and 58 more characters "
            "(never AGE-SECRET-KEY-..., which stays with the operators)"
        )
    return tuple(map(str, recipients))


def _where(key: str) -> str:
    return f"Pulumi.{pulumi.get_stack()}.yaml: {CONFIG_NAMESPACE}:{key}"


def _absent(told: str) -> None:
    """A preview goes on without a secret, an update does not.

    Raises:
        SettingsError: In an update.
    """
    if not pulumi.runtime.is_dry_run():
        raise SettingsError(told)
    pulumi.log.warn(told)


def _object(
    key: str,
    names: Sequence[str],
    previewed: Mapping[str, Any] | None = None,
    check: Callable[[Mapping[str, Any], str], None] = lambda content, where: None,
) -> pulumi.Output[dict[str, Any]]:
    """A JSON object of secrets with exactly these names.

    Args:
        key: Of the configuration.
        names: Of the secrets.
        previewed: What a preview has instead, where a text would not do.
        check: Refuses what is not allowed.
    """
    # Plain, so that a mistake is one line before anything is made; what leaves this function is secret again.
    text, where = pulumi.Config(CONFIG_NAMESPACE).get(key), _where(key)
    if text is not None:
        content = _checked(text, where, names)
        check(content, where)
        return pulumi.Output.secret(content)
    _absent(
        f"{where} is missing: allowed is a JSON object with {', '.join(names)}; put it into a file and run "
        f"`pulumi config set --secret {CONFIG_NAMESPACE}:{key} < FILE`"
    )
    return pulumi.Output.secret({**dict.fromkeys(names, _UNKNOWN), "authority": "", **(previewed or {})})


def _checked(text: str, where: str, names: Sequence[str]) -> dict[str, Any]:
    """The object in ``text``.

    Raises:
        SettingsError: It is not what is needed.
    """
    try:
        content = json.loads(text)
    except ValueError:
        raise SettingsError(f"{where} is no JSON: allowed is an object with {', '.join(names)}") from None
    if not isinstance(content, Mapping) or set(content) != set(names):
        given = sorted(map(str, content)) if isinstance(content, Mapping) else []
        wrong = ", ".join(sorted(set(given) ^ set(names))) or "no object"
        raise SettingsError(f"{where}: {wrong}: allowed are exactly the keys {', '.join(names)}")
    empty = [name for name in names if name not in _MAY_BE_EMPTY and not content[name]]
    if empty:
        raise SettingsError(f"{where}: {', '.join(empty)} is empty: give it a value")
    return dict(content)


def object_storage(settings: Settings, prefix: str, role: StorageRole) -> ObjectStorage:
    """The bucket.

    Args:
        settings: Where it is.
        prefix: What the keys of its user start with, for example ``reports/``.
        role: What its user does there: whose key it gets, the common one where the role has none of its own.

    Raises:
        SettingsError: Its keys are missing in an update.
    """
    roles, common = settings.object_storage.roles, storage_secrets()
    if role not in roles:
        return _storage(settings.object_storage, prefix, common)
    keys = pulumi.Output.all(common, role_secrets(roles)).apply(lambda both: {**both[0], **both[1][str(role)]})
    return _storage(settings.object_storage, prefix, keys)


def witness(settings: Settings) -> ObjectStorage | None:
    """The bucket in neither region, or None.

    Raises:
        SettingsError: Its keys are missing in an update.
    """
    place = settings.regions.witness
    return _storage(place, WITNESS_PREFIX, witness_secrets()) if place else None


def _storage(storage: Storage, prefix: str, secrets: pulumi.Output[dict[str, Any]]) -> ObjectStorage:
    return ObjectStorage(
        endpoint=storage.endpoint,
        region=storage.region,
        bucket=storage.bucket,
        prefix=prefix,
        networks=storage.networks,
        port=storage.port,
        access_key_id=secrets.apply(lambda known: str(known["access_key_id"])),
        secret_access_key=secrets.apply(lambda known: str(known["secret_access_key"])),
        authority=secrets.apply(lambda known: str(known["authority"])),
    )
