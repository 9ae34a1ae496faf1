"""What an update would stop at is known before: the same lines, from the same code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config

from stacks import secrets
from stacks.check import problems
from stacks.outputs import outputs
from stacks.platform import Platform
from stacks.secrets import needed
from stacks.settings import Role, parse
from tests.support import engine

STACK = "local"
KEYS = {
    "observability:alertingSecrets",
    "observability:backupRecipients",
    "observability:clusterAuditSecrets",
    "observability:databaseSecrets",
    "observability:directorySecrets",
    "observability:grafanaOidcSecrets",
    "observability:identitySecrets",
    "observability:objectStorageRoles",
    "observability:objectStorageSecrets",
    "observability:witnessSecrets",
}


@pytest.fixture(autouse=True)
def _no_configuration() -> Iterator[None]:
    """Nothing of a test is left for the next one."""
    yield
    set_all_config({})


def _settings() -> dict[str, Any]:
    """Settings that need every secret there is."""
    settings = engine.stack_settings(STACK)
    networks = ["203.0.113.0/24"]
    settings["database"] = {
        "embedded": None,
        "external": {
            "host": "db.example.com",
            "port": 5432,
            "name": "grafana",
            "user": "grafana",
            "networks": networks,
        },
    }
    settings["grafana"]["external_endpoint"]["host"] = "grafana.example.com"
    settings["grafana"]["oidc"] = {
        "issuer": "https://login.example.com",
        "client_id": "grafana",
        "authorize_url": "https://login.example.com/authorize",
        "token_url": "https://login.example.com/token",
        "userinfo_url": "https://login.example.com/userinfo",
        "networks": networks,
        "groups": {"viewer": "viewers", "editor": "editors", "admin": "admins"},
    }
    return settings


def _secrets(settings: dict[str, Any]) -> dict[str, str]:
    """Every secret, as an update takes it."""
    content = {
        "alertingSecrets": engine.alerting_secrets(settings["alerting"]),
        "backupRecipients": {"recipients": [engine.RECIPIENT]},
        **{key: {**dict.fromkeys(names, "x" * 20), "authority": ""} for key, names in engine.OUTSIDE_SECRETS.items()},
    }
    roles = settings["object_storage"].get("roles", ())
    content["objectStorageRoles"] = {role: {part: f"{role}-{part}" for part in secrets.ROLE_NAMES} for role in roles}
    content["clusterAuditSecrets"] = dict.fromkeys(engine.CLUSTER_AUDIT_NAMES, "x" * 20)
    content["databaseSecrets"] = {"password": "database", "authority": ""}
    content["grafanaOidcSecrets"] = {"client_secret": "oidc", "authority": ""}
    return {f"observability:{key}": json.dumps(value) for key, value in content.items()}


def _configuration(settings: object, **changes: str) -> dict[str, str]:
    given = {"role": "primary", "settings": json.dumps(settings), **changes}
    return {f"observability:{key}": value for key, value in given.items()}


def test_a_complete_configuration_has_no_problem() -> None:
    settings = _settings()
    assert problems(STACK, {**_configuration(settings), **_secrets(settings)}) == []


def test_what_is_missing_is_what_a_preview_of_the_whole_platform_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings()
    lines = problems(STACK, _configuration(settings))
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda message, *_args, **_more: warnings.append(message))
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    set_all_config({})
    chosen = parse(settings, f"Pulumi.{STACK}.yaml")

    def program() -> None:
        outputs(Platform(chosen.platform, chosen, Role.PRIMARY))

    engine.run(engine.Recording(), STACK, program)
    missing = {warning for warning in warnings if " is missing: " in warning}
    assert len(lines) == len(KEYS)
    assert set(lines) == missing
    assert {line.split()[1] for line in lines} == KEYS
    assert all("run `pulumi config set " in line for line in lines)


def test_a_secret_that_these_settings_do_not_need_is_not_missing() -> None:
    keys = {secret.key for secret in needed(parse(engine.stack_settings(STACK), "Pulumi.local.yaml"))}
    assert {f"observability:{key}" for key in keys} == KEYS - {
        "observability:databaseSecrets",
        "observability:grafanaOidcSecrets",
    }


def test_every_mistake_is_a_line_and_none_shows_a_secret() -> None:
    settings = engine.stack_settings(STACK)
    configuration = {**_configuration(settings, role="main"), **_secrets(settings)}
    configuration["observability:directorySecrets"] = '{"bind_password": "open sesame"}'
    configuration["observability:witnessSecrets"] = "open sesame"
    configuration["observability:backupRecipients"] = '{"recipients": ["AGE-SECRET-KEY-1OPEN"]}'
    lines = problems(STACK, configuration)
    where = "Pulumi.local.yaml: observability:"
    assert lines == [
        f"{where}role is 'main': allowed is primary or standby; run `pulumi config set observability:role primary`, or "
        "`ops failover` where a region moves",
        f"{where}directorySecrets: authority: allowed are exactly the keys bind_password, authority",
        f"{where}witnessSecrets is no JSON: allowed is an object with access_key_id, secret_access_key, authority",
        f"{where}backupRecipients: recipients is no list of public keys: allowed are keys such as age1 and 58 more "
        "characters (never AGE-SECRET-KEY-..., which stays with the operators)",
    ]


KEY = {"access_key_id": "one", "secret_access_key": "open sesame"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda keys: keys.pop("archive"), "archive: allowed are exactly the keys backup-database, backup-grafana, "),
        (lambda keys: keys.update(archives=KEY), "archives: allowed are exactly the keys backup-database, "),
        (
            lambda keys: keys["archive"].pop("access_key_id"),
            "archive is no key: allowed is an object with access_key_id",
        ),
        (lambda keys: keys.update(archive="open sesame"), "archive is no key: allowed is an object with"),
        (
            lambda keys: keys.update({"archive": KEY, "operator": KEY}),
            "archive and operator have the same key: give each role one of its own",
        ),
    ],
)
def test_a_mistake_in_the_keys_of_roles_is_a_line_without_any_key(
    change: Callable[[dict[str, Any]], object], told: str
) -> None:
    settings = engine.stack_settings(STACK)
    given = _secrets(settings)
    keys = json.loads(given["observability:objectStorageRoles"])
    change(keys)
    given["observability:objectStorageRoles"] = json.dumps(keys)
    [line] = problems(STACK, {**_configuration(settings), **given})
    assert line.startswith(f"Pulumi.local.yaml: observability:objectStorageRoles: {told}")
    assert "open sesame" not in line


def test_roles_that_are_none_or_there_twice_are_refused() -> None:
    settings = engine.stack_settings(STACK)
    for roles, told in (
        (["archives"], "settings.object_storage.roles[0] is 'archives': allowed is one of 'backup-database', "),
        (["archive", "archive"], "settings.object_storage.roles: allowed is each role once; correct it"),
    ):
        settings["object_storage"]["roles"] = roles
        [line] = problems(STACK, _configuration(settings))
        assert told in line


def test_without_roles_the_common_key_is_all_that_is_needed_and_everybody_has_it() -> None:
    settings = engine.stack_settings(STACK)
    del settings["object_storage"]["roles"]
    given = _secrets(settings)
    del given["observability:objectStorageRoles"]
    assert problems(STACK, {**_configuration(settings), **given}) == []
    recording = engine.record(STACK, settings)
    held = [manifest["stringData"] for manifest in recording.kinds("Secret")]
    ids = {texts["storage-access-key-id"] for texts in held if "storage-access-key-id" in texts}
    assert ids == {engine.password_of("access_key_id")}
    assert recording.outputs["backups"]["access_key_id"] == engine.password_of("access_key_id")


def test_settings_that_are_refused_are_told_with_the_role_and_nothing_is_said_of_secrets() -> None:
    settings = engine.stack_settings(STACK)
    settings["profile"], settings["storage"]["kafka"] = "tiny", "20"
    lines = problems(STACK, {"observability:settings": json.dumps(settings)})
    assert [line.split(":")[1].split()[0] for line in lines] == [
        "settings.profile",
        "settings.storage.kafka",
        "observability",
    ]


def test_a_stack_without_settings_is_one_line() -> None:
    assert problems(STACK, {"observability:role": "primary"}) == [
        "Pulumi.local.yaml: observability:settings is missing: allowed is a group of keys; compare Pulumi.prod.yaml"
    ]


def test_what_is_encrypted_counts_as_there() -> None:
    configuration = _configuration(_settings())
    assert problems(STACK, configuration, KEYS) == []
    assert len(problems(STACK, configuration, KEYS - {"observability:witnessSecrets"})) == 1
