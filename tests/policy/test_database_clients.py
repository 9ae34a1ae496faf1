"""Everybody who connects to PostgreSQL, however the connection is written."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_servers import (
    Data,
    all_said,
    broken,
    cases,
    config_map,
    rule,
    said,
    secret,
    workload,
)

TAIL = "sslmode=verify-full&sslrootcert=/tls/ca.crt"
URL = f"postgresql://app:$PASSWORD@db:5432/app?{TAIL}"
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


CLIENTS = cases("database_clients")


def test_the_good_client_passes_every_rule() -> None:
    assert all_said(client(CLIENT)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), CLIENTS)
def test_a_broken_client_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), client(broken(CLIENT, path, value))) == [message]


def test_a_socket_needs_no_certificate() -> None:
    assert said(rule("postgres-client-files"), [secret("x", url="host=/run/postgresql dbname=app")]) == []
