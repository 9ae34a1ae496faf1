"""A recording engine: runs the whole program for a stack file without Pulumi, a cluster or a broker.

What the program registers is kept, and Kubernetes objects are given back as the manifests that the API server gets.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pulumi
import yaml
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

from components.telemetry.layers import LAYERS
from tests.support import shared
from tests.support.loops import Loops

CHECKOUT = Path(__file__).resolve().parents[2]
STACKS = ("local", "prod", "dr")
PROJECT = "observability"

AUTHORITY = "-----BEGIN CERTIFICATE-----\nrecorded\n-----END CERTIFICATE-----\n"
ALERTING_SECRETS = "observability:alertingSecrets"
OUTSIDE_SECRETS = {
    "directorySecrets": ("bind_password",),
    "identitySecrets": ("client_secret", "tool_secret"),
    "objectStorageSecrets": ("access_key_id", "secret_access_key"),
    "witnessSecrets": ("access_key_id", "secret_access_key"),
}
STORAGE_ROLES = "observability:objectStorageRoles"
CLUSTER_AUDIT_SECRETS = "observability:clusterAuditSecrets"
CLUSTER_AUDIT_NAMES = ("token", "certificate", "key")
BACKUP_RECIPIENTS = "observability:backupRecipients"
RECIPIENT = "age1" + 58 * "q"
REFERENCE = "pulumi:pulumi:StackReference"
PASSWORD = "random:index/randomPassword:RandomPassword"


@dataclass(frozen=True)
class Recorded:
    """One resource as the program asked for it."""

    token: str
    name: str
    inputs: dict[str, Any]
    provider: str
    read: bool


@dataclass
class Recording(mocks.Mocks):
    """Everything that a run of the program registered.

    Attributes:
        resources: Resources in order of registration.
        outputs: Stack outputs, resolved.
        channel_passwords: Name -> secret of a channel by which a contact of the stack file is notified, or by which the
            API server posts.
    """

    resources: list[Recorded] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    channel_passwords: dict[str, str] = field(default_factory=dict)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """Functions of providers: the program calls none.

        Raises:
            AssertionError: Always.
        """
        raise AssertionError(f"the program calls {args.token}, which this engine does not know")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Record a resource and answer as its provider would."""
        read = bool(args.resource_id)
        self.resources.append(Recorded(args.typ, args.name, _plain(args.inputs), args.provider or "", read))
        state = dict(args.inputs)
        if args.typ == PASSWORD:
            password = password_of(args.name)
            state |= {"result": password, "bcryptHash": bcrypt_of(password)}
        if args.typ == REFERENCE:
            state |= {"outputs": other_outputs()}
        if read and args.typ == "kubernetes:core/v1:Secret":
            state |= {"data": {"ca.crt": base64.b64encode(AUTHORITY.encode()).decode()}}
        return args.resource_id or f"{args.name}-id", state

    def of(self, token: str) -> list[Recorded]:
        """Resources of a type."""
        return [resource for resource in self.resources if resource.token == token and not resource.read]

    @property
    def passwords(self) -> dict[str, str]:
        """Name -> every password that the program made or was given."""
        generated = {password.name: password_of(password.name) for password in self.of(PASSWORD)}
        return generated | _given_passwords() | self.channel_passwords

    def manifests(self) -> list[dict[str, Any]]:
        """Kubernetes objects as the API server would get them."""
        return [_clean(inputs) for inputs in self._objects()]

    def kinds(self, *kinds: str) -> list[dict[str, Any]]:
        """Manifests of some kinds."""
        return [_clean(inputs) for inputs in self._objects() if inputs["kind"] in kinds]

    def _objects(self) -> Iterator[dict[str, Any]]:
        for resource in self.resources:
            if resource.token.startswith("kubernetes:") and not resource.read:
                yield resource.inputs

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The manifest of that kind and name.

        Raises:
            AssertionError: There is none, or more than one.
        """
        manifests = [manifest for manifest in self.kinds(kind) if manifest["metadata"]["name"] == name]
        assert len(manifests) == 1, f"expected one {kind} {name}, found {len(manifests)}"
        return manifests[0]

    def applicable(self, kind: str, name: str) -> dict[str, Any]:
        """`one`, with the whole numbers that an API server insists on: Pulumi's protocol has none."""
        manifest: dict[str, Any] = json.loads(
            json.dumps(self.one(kind, name)), parse_float=lambda number: int(float(number))
        )
        return manifest


def password_of(name: str) -> str:
    """The recorded password of a resource: 32 letters and digits that depend on its name alone."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def channel_passwords(channel: str, contacts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Contact that is notified by phone or by Slack -> its recognisable secret there."""
    return {name: password_of(f"{channel} of {name}") for name, contact in contacts.items() if contact[channel]}


def alerting_secrets(alerting: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Secrets of channels, each recognisable, for what a stack file says of alerting (default: the local one)."""
    alerting = alerting or stack_settings("local")["alerting"]
    contacts, mail = alerting["contacts"], ("mail_password",) if alerting["channels"]["mail"] else ()
    slack = channel_passwords("slack", contacts)
    sms, texts = ("sms_access_key_id", "sms_secret_access_key"), any(map(_texted, contacts.values()))
    switch = f"https://switch.example.com/{password_of('heartbeat')}"
    return {
        "phone_keys": channel_passwords("phone", contacts),
        "slack_urls": {name: f"https://slack.example.com/services/{token}" for name, token in slack.items()},
        **({"heartbeat_url": switch} if alerting.get("heartbeat", True) else {}),
        **{name: password_of(name) for name in (*mail, *(sms if texts else ()))},
        "authority": AUTHORITY,
    }


def _texted(contact: Mapping[str, Any]) -> bool:
    return bool(contact["sms_topic"])


def role_key(role: str) -> dict[str, str]:
    """Name of each part of a role's key -> the part."""
    return {f"{role}/{part}": part for part in ("access_key_id", "secret_access_key")}


def _given_passwords() -> dict[str, str]:
    plain = ("mail_password", "sms_access_key_id", "sms_secret_access_key", "heartbeat")
    outside = [name for names in OUTSIDE_SECRETS.values() for name in names]
    return {name: password_of(name) for name in (*plain, *outside)}


def other_outputs() -> dict[str, Any]:
    """What a stack reference finds: the outputs of a primary region that agrees with every stack."""
    return {
        "ca_certificate": AUTHORITY,
        "kafka_users": {"mirror": {"username": "mirror", "password": password_of("other mirror")}},
        "otlp_credentials": {layer.name: {"password": password_of(f"other {layer.name}")} for layer in LAYERS},
        "otlp_former_credentials": {layer.name: {"password": password_of(f"former {layer.name}")} for layer in LAYERS},
        "id_hash_key": password_of("other ids"),
    }


def stack_role(stack: str) -> str:
    """The role in a stack file."""
    return str(_config(stack)["observability:role"])


def stack_settings(stack: str) -> dict[str, Any]:
    """The settings in a stack file."""
    settings: dict[str, Any] = _config(stack)["observability:settings"]
    return settings


def _config(stack: str) -> dict[str, Any]:
    """A copy: tests change settings."""
    return copy.deepcopy(_read(stack))


@functools.cache
def _read(stack: str) -> dict[str, Any]:
    content: dict[str, dict[str, Any]] = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())
    return content["config"]


def record(stack: str, settings: object, role: str | None = None) -> Recording:
    """Run the program with some settings, in the role of the stack file or another one.

    Raises:
        pulumi.RunError: The settings are refused.
    """
    from stacks import settings as stack_model
    from stacks.outputs import outputs
    from stacks.platform import Platform

    chosen = stack_model.parse(settings, f"Pulumi.{stack}.yaml")
    alerting = chosen.model_dump()["alerting"]
    contacts = alerting["contacts"]
    recording = Recording(
        channel_passwords={
            f"{channel} of {name}": password
            for channel in ("phone", "slack")
            for name, password in channel_passwords(channel, contacts).items()
        }
        | {name: password_of(name) for name in CLUSTER_AUDIT_NAMES if chosen.audit.cluster}
        | {name: password_of(name) for role in chosen.object_storage.roles for name in role_key(role)}
    )

    def program() -> None:
        pulumi.runtime.set_config(ALERTING_SECRETS, json.dumps(alerting_secrets(alerting)))
        for key, names in OUTSIDE_SECRETS.items():
            given = {**{name: password_of(name) for name in names}, "authority": AUTHORITY}
            pulumi.runtime.set_config(f"observability:{key}", json.dumps(given))
        keys = {
            str(role): {part: password_of(name) for name, part in role_key(role).items()}
            for role in chosen.object_storage.roles
        }
        pulumi.runtime.set_config(STORAGE_ROLES, json.dumps(keys))
        webhook = {name: password_of(name) for name in CLUSTER_AUDIT_NAMES}
        pulumi.runtime.set_config(CLUSTER_AUDIT_SECRETS, json.dumps(webhook))
        pulumi.runtime.set_config(BACKUP_RECIPIENTS, json.dumps({"recipients": [RECIPIENT]}))
        now = stack_model.Role(role or stack_role(stack))
        for name, value in outputs(Platform(chosen.platform, chosen, now)).items():
            pulumi.Output.from_input(value).apply(functools.partial(recording.outputs.__setitem__, name))

    run(recording, stack, program)
    return recording


class _Hooks:
    """Takes hooks of resources and calls none: nothing is made here."""

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        """Take one."""


def run(recording: Recording, stack: str, program: Callable[[], None]) -> None:
    """Run any program on the recording engine, to its end."""
    before, loops = asyncio.get_event_loop_policy(), Loops()
    asyncio.set_event_loop_policy(loops)
    try:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        # Outputs that a test made outside a run belong to no loop that runs: Pulumi would wait for them for ever.
        SETTINGS.outputs.clear()
        mocks.set_mocks(recording, project=PROJECT, stack=stack, preview=False)
        SETTINGS.callbacks = _Hooks()

        async def body() -> None:
            program()

        loop.run_until_complete(run_pulumi_func(body))
    finally:
        asyncio.set_event_loop(None)
        asyncio.set_event_loop_policy(before)
        loops.close()


def recorded(stack: str, role: str | None = None) -> Recording:
    """The recording of a stack file as it is in the checkout, in its role or another one.

    The same object for every test: do not change it.
    """
    return _recorded(stack, role or stack_role(stack))


@functools.cache
def _recorded(stack: str, role: str) -> Recording:
    return shared.once(f"recording of {stack} as {role}", lambda: record(stack, stack_settings(stack), role))


@functools.cache
def sharded(shards: int = 2) -> Recording:
    """The recording of the local stack with its metrics in shards; do not change it."""
    settings = stack_settings("local")
    settings["prometheus"]["shards"] = shards
    return shared.once(f"recording of local in {shards} shards", lambda: record("local", settings))


def texts(value: Any) -> Iterator[str]:
    """Every text in nested data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def _plain(value: Any) -> Any:
    """Unwrap secrets."""
    if isinstance(value, dict):
        if rpc._special_sig_key in value and "value" in value:
            return _plain(value["value"])
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _clean(value: Any) -> Any:
    """Drop what is null, as Pulumi does."""
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value


@functools.cache
def bcrypt_of(password: str) -> str:
    """The same in every process, so that recordings can be compared."""
    salt = f"$2b$04${hashlib.sha256(password.encode()).hexdigest()[:21]}."
    return bcrypt.hashpw(password.encode(), salt.encode()).decode()
