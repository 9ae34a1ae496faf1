"""What an update would stop at is known before: the same lines, from the same code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import set_all_config

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
    "observability:databasePassword",
    "observability:directorySecrets",
    "observability:grafanaOidcSecret",
    "observability:identitySecrets",
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
    content["clusterAuditSecrets"] = dict.fromkeys(engine.CLUSTER_AUDIT_NAMES, "x" * 20)
    plain = {"databasePassword": "database", "grafanaOidcSecret": "oidc"}
    return {f"observability:{key}": json.dumps(value) for key, value in content.items()} | {
        f"observability:{key}": value for key, value in plain.items()
    }


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
        "observability:databasePassword",
        "observability:grafanaOidcSecret",
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
