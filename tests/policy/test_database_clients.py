"""Everybody who connects to PostgreSQL, however the connection is written."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_servers import (
    GONE,
    Data,
    all_said,
    broken,
    config_map,
    rule,
    rules_of,
    said,
    secret,
    workload,
)

TAIL = "sslmode=verify-full&sslrootcert=/tls/ca.crt"
URL = f"postgresql://app:$PASSWORD@db:5432/app?{TAIL}"
VERIFY = "Fix: set sslmode=verify-full and sslrootcert to the platform's CA."
CLIENT: Data = {
    "args": [f"--dsn={URL}", "host=db dbname=app sslmode=verify-full sslrootcert=/tls/ca.crt"],
    "env": [
        {"name": "PGHOST", "value": "db"},
        {"name": "PGSSLMODE", "value": "verify-full"},
        {"name": "PGSSLROOTCERT", "value": "/tls/ca.crt"},
        {"name": "STORE", "value": f"jdbc:{URL}"},
    ],
    "file": f"store:\n  address: {URL}\n",
    "secret": f"postgres://app:word@db/app?{TAIL}",
    "sources": {
        "datasources": [
            {
                "name": "app",
                "type": "grafana-postgresql-datasource",
                "url": "db:5432",
                "user": "reader",
                "jsonData": {"sslmode": "verify-full", "sslRootCertFile": "/tls/ca.crt"},
            }
        ]
    },
}


def client(data: Data) -> list[Resource]:
    """A program with its connection written in every way."""
    return [
        config_map("app", **{"app.yaml": data["file"], "sources.yaml": data["sources"]}),
        secret("app", url=data["secret"]),
        workload("Deployment", "app", "example/app:1", args=data["args"], env=data["env"]),
    ]


APP = "Deployment mon/app, spec.template.spec.containers[0]"
NOT_FULL = "PostgreSQL's identity is not verified: sslmode is"
CLIENTS: list[tuple[str, str, Any, str]] = [
    (
        "postgres-client-workload",
        "args/0",
        "--dsn=postgres://db/app?sslmode=require",
        f"{APP}.args[0]: {NOT_FULL} require. {VERIFY}",
    ),
    (
        "postgres-client-workload",
        "args/1",
        "host=db dbname=app",
        f"{APP}.args[1]: {NOT_FULL} not set. {VERIFY}",
    ),
    (
        "postgres-client-workload",
        "args/1",
        f"postgres://app:word@db/app?{TAIL}",
        f"{APP}.args[1]: the password of a connection is written into the workload. Fix: take the connection from a "
        "Secret.",
    ),
    (
        "postgres-client-workload",
        "env/3/value",
        "jdbc:postgresql://db/app?sslmode=verify-full",
        f"{APP}.env[3].value: no authority is named that PostgreSQL is verified by: sslrootcert is not set. {VERIFY}",
    ),
    (
        "postgres-client-environment",
        "env/1/value",
        "prefer",
        f"{APP}.env[1]: PostgreSQL's identity is not verified: PGSSLMODE is prefer beside PGHOST. "
        "Fix: set PGSSLMODE to verify-full.",
    ),
    (
        "postgres-client-environment",
        "env/1",
        GONE,
        f"{APP}.env[0]: PostgreSQL's identity is not verified: PGSSLMODE is not set beside PGHOST. "
        "Fix: set PGSSLMODE to verify-full.",
    ),
    (
        "postgres-client-environment",
        "env/2",
        GONE,
        f"{APP}.env[0]: PostgreSQL's identity is not verified: PGSSLROOTCERT is not set beside PGHOST. "
        "Fix: set PGSSLROOTCERT to the file of the platform CA.",
    ),
    (
        "postgres-client-files",
        "file",
        "store:\n  address: postgres://app@db/app\n",
        f"ConfigMap mon/app, app.yaml: line 2: {NOT_FULL} not set. {VERIFY}",
    ),
    (
        "postgres-client-files",
        "file",
        f"address: postgres://app:word@db/app?{TAIL}",
        "ConfigMap mon/app, app.yaml: line 1: a connection with its password is written into a ConfigMap. "
        "Fix: put it into a Secret.",
    ),
    (
        "postgres-client-files",
        "secret",
        "postgres://app:word@db/app?sslmode=disable",
        f"Secret mon/app, url: line 1: {NOT_FULL} disable. {VERIFY}",
    ),
    (
        "postgres-client-files",
        "secret",
        "host=db user=app password=word sslmode=verify-ca",
        f"Secret mon/app, url: line 1: {NOT_FULL} verify-ca. {VERIFY}",
    ),
    (
        "postgres-client-datasource",
        "sources/datasources/0/jsonData/sslmode",
        "require",
        f"ConfigMap mon/app, sources.yaml:.datasources[0].jsonData.sslmode: {NOT_FULL} require. "
        "Fix: set sslmode to verify-full and sslRootCertFile to the platform's CA.",
    ),
    (
        "postgres-client-datasource",
        "sources/datasources/0/jsonData/sslRootCertFile",
        GONE,
        "ConfigMap mon/app, sources.yaml:.datasources[0].jsonData.sslRootCertFile: no authority is named that "
        "PostgreSQL "
        "is verified by: sslRootCertFile is not set. "
        "Fix: set sslmode to verify-full and sslRootCertFile to the platform's CA.",
    ),
]


def test_the_good_client_passes_every_rule() -> None:
    assert all_said(client(CLIENT)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), CLIENTS)
def test_a_broken_client_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), client(broken(CLIENT, path, value))) == [message]


def test_a_socket_needs_no_certificate() -> None:
    assert said(rule("postgres-client-files"), [secret("x", url="host=/run/postgresql dbname=app")]) == []


def test_every_rule_about_clients_is_broken_here() -> None:
    assert {case[0] for case in CLIENTS} == {known_rule.id for known_rule in rules_of("database_clients")}
