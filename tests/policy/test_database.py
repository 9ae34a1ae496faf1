"""PostgreSQL servers."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from policy.rules import _values
from tests.policy.fixtures_servers import (
    Data,
    all_said,
    broken,
    cases,
    config_map,
    rule,
    rules_of,
    said,
    workload,
)

SERVER: Data = {
    "args": ["postgres", "-c", "config_file=/etc/pg/postgresql.conf", "-c", "hba_file=/etc/pg/pg_hba.conf"],
    "conf": {
        "listen_addresses": "'*'",
        "ssl": "on",
        "ssl_cert_file": "'/tls/tls.crt'",
        "ssl_key_file": "'/tls/tls.key'",
        "password_encryption": "scram-sha-256",
        "fsync": "on",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_connections": "on",
        "log_statement": "'ddl'",
        "log_line_prefix": "'%m [%p] %c %s %e client=%h user=%u db=%d '",
        "wal_level": "replica   # for backups",
    },
    "hba": [
        "# TYPE  DATABASE  USER  ADDRESS  METHOD",
        "local   all  postgres  peer",
        "hostssl all  all  0.0.0.0/0  scram-sha-256  # people",
        'hostssl replication "copy user" 10.0.0.0 255.0.0.0 cert clientcert=verify-full',
        "host    all  all  all  reject",
    ],
}


def server(data: Data) -> list[Resource]:
    """A server with its two files; the settings in both ways that PostgreSQL reads."""
    lines = [
        f"{key} = {value}" if number % 2 else f"{key} {value}"
        for number, (key, value) in enumerate(data["conf"].items())
    ]
    files = config_map("pg", **{"postgresql.conf": "\n".join(lines), "pg_hba.conf": "\n".join(data["hba"])})
    return [files, workload("StatefulSet", "pg", "postgres:16.4", args=data["args"], files={"/etc/pg": files})]


CONF = "ConfigMap mon/pg, postgresql.conf:"
SERVERS = cases("database")


def test_the_good_server_passes_every_rule() -> None:
    assert all_said(server(SERVER)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), SERVERS)
def test_a_broken_server_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), server(broken(SERVER, path, value))) == [message]


def test_files_in_the_data_folder_need_not_be_named() -> None:
    files = server(SERVER)[0]
    inside = workload("StatefulSet", "pg", "postgres:16.4", files={"/var/lib/postgresql/data": files})
    moved = workload(
        "StatefulSet", "pg", "postgres:16.4", env=[{"name": "PGDATA", "value": "/pg"}], files={"/pg": files}
    )
    assert all_said([files, inside]) == all_said([files, moved]) == []


def test_behind_a_script_every_mounted_file_counts() -> None:
    files = server(broken(SERVER, "conf/ssl", "off"))[0]
    scripted = workload("StatefulSet", "pg", "postgres:16.4", command=["/bin/sh", "/run/start.sh"], files={"/x": files})
    assert said(rule("postgres-server"), [files, scripted]) == [
        f"{CONF} ssl: PostgreSQL speaks clear text: ssl is off. Fix: set ssl to on."
    ]


def test_a_dump_job_with_the_servers_image_is_no_server() -> None:
    job = workload("Job", "dump", "postgres:16.4", command=["pg_dump", "--format=custom"])
    by_arguments = workload("Job", "dump", "postgres:16.4", args=["pg_dump", "--format=custom"])
    assert said(rule("postgres-server"), [job, by_arguments]) == []


def test_lines_of_hba_files_are_read_like_the_server_does() -> None:
    lines = _values.hba('hostssl "my base" all 10.0.0.0 255.0.0.0 scram-sha-256\n\nlocal all all\n')
    assert [(line.number, line.type, line.method) for line in lines] == [
        (1, "hostssl", "scram-sha-256"),
        (3, "local", ""),
    ]
    assert not _values.is_hba("listen_addresses = '*'")


def test_settings_are_read_with_and_without_equals_signs() -> None:
    assert _values.postgres("ssl on\nssl_cert_file = 'it''s.crt' # note\n#fsync = off\nSSL=off") == {
        "ssl": "off",
        "ssl_cert_file": "it's.crt",
    }


def test_every_rule_about_servers_and_clients_is_broken() -> None:
    broken_ones = {case[0] for case in [*SERVERS, *cases("database_clients")]}
    assert broken_ones == {known_rule.id for known_rule in rules_of("database")}
