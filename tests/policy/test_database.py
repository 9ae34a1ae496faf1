"""PostgreSQL servers."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from policy.rules import _formats
from tests.policy.fixtures_servers import GONE, Data, all_said, broken, config_map, rule, rules_of, said, workload

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
HBA = "ConfigMap mon/pg, pg_hba.conf:"
POD = "StatefulSet mon/pg, spec.template.spec.containers[0]"
SERVERS: list[tuple[str, str, Any, str]] = [
    (
        "postgres-server",
        "conf/ssl",
        "off",
        f"{CONF} ssl: PostgreSQL speaks clear text: ssl is off. Fix: set ssl to on.",
    ),
    (
        "postgres-server",
        "conf/ssl",
        GONE,
        f"{POD}: PostgreSQL speaks clear text: ssl is set in no mounted file and by no argument, and off by default. "
        "Fix: set ssl to on, with ssl_cert_file and ssl_key_file.",
    ),
    (
        "postgres-server",
        "args/+",
        "--ssl=off",
        f"{POD}.args[5]: PostgreSQL speaks clear text: ssl is off. Fix: set ssl to on.",
    ),
    (
        "postgres-server",
        "conf/ssl_key_file",
        GONE,
        f"{CONF} ssl: ssl has no certificate of the platform: ssl_key_file is not set. Fix: set ssl_key_file.",
    ),
    (
        "postgres-server",
        "conf/ssl_cert_file",
        GONE,
        f"{CONF} ssl: ssl has no certificate of the platform: ssl_cert_file is not set. Fix: set ssl_cert_file.",
    ),
    (
        "postgres-server",
        "conf/password_encryption",
        "md5",
        f"{CONF} password_encryption: new passwords are stored as md5. Fix: set password_encryption to scram-sha-256.",
    ),
    (
        "postgres-server",
        "conf/ssl_min_protocol_version",
        "'TLSv1'",
        f"{CONF} ssl_min_protocol_version: broken TLS is taken: ssl_min_protocol_version is TLSv1. "
        "Fix: set ssl_min_protocol_version to TLSv1.2.",
    ),
    (
        "postgres-server",
        "conf/fsync",
        "off",
        f"{CONF} fsync: confirmed data may be lost: fsync is off, so after a crash the database may be beyond repair. "
        "Fix: set fsync to on.",
    ),
    (
        "postgres-server",
        "conf/full_page_writes",
        "off",
        f"{CONF} full_page_writes: pages may be torn: full_page_writes is off, so a crash in the middle of a page "
        "destroys it. Fix: set full_page_writes to on.",
    ),
    (
        "postgres-server",
        "conf/synchronous_commit",
        "off",
        f"{CONF} synchronous_commit: commits are confirmed before they are on disk: synchronous_commit is off, so the "
        "last ones are lost with the machine. Fix: set synchronous_commit to on.",
    ),
    (
        "postgres-access",
        "hba/2",
        "host all all 0.0.0.0/0 scram-sha-256",
        f"{HBA} line 3: a login without TLS is possible: host all all 0.0.0.0/0 scram-sha-256. "
        "Fix: write hostssl instead of host.",
    ),
    (
        "postgres-access",
        "hba/2",
        "hostssl all all 0.0.0.0/0 md5",
        f"{HBA} line 3: md5 proves nobody's identity safely: hostssl all all 0.0.0.0/0 md5. Fix: use scram-sha-256.",
    ),
    (
        "postgres-access",
        "hba/2",
        "hostssl all all 10.0.0.0 255.0.0.0 trust",
        f"{HBA} line 3: trust proves nobody's identity safely: hostssl all all 10.0.0.0 255.0.0.0 trust. "
        "Fix: use scram-sha-256.",
    ),
    (
        "postgres-access",
        "hba/2",
        "hostssl all all all password",
        f"{HBA} line 3: password proves nobody's identity safely: hostssl all all all password. Fix: use "
        "scram-sha-256.",
    ),
    (
        "postgres-access",
        "hba/1",
        "local all all trust",
        f"{HBA} line 2: trust proves nobody's identity safely: local all all trust. Fix: use scram-sha-256.",
    ),
    (
        "postgres-access",
        "hba/1",
        "include other.conf",
        f"{HBA} line 2: other lines come from elsewhere: include other.conf. Fix: write the lines into this file.",
    ),
    (
        "postgres-server",
        "args/2",
        "config_file=/etc/other.conf",
        f"{POD}: PostgreSQL speaks clear text: ssl is set in no mounted file and by no argument, and off by default. "
        "Fix: set ssl to on, with ssl_cert_file and ssl_key_file.",
    ),
    (
        "postgres-access",
        "args/4",
        "log_connections=on",
        f"{POD}: PostgreSQL runs without a pg_hba.conf of ours; its own one takes logins without TLS. "
        "Fix: mount a pg_hba.conf with hostssl lines and scram-sha-256 only, and point hba_file to it.",
    ),
    (
        "postgres-audit",
        "conf/log_connections",
        GONE,
        f"{POD}: the audit log is told of no login: log_connections is not set. Fix: set log_connections to on.",
    ),
    (
        "postgres-audit",
        "conf/log_statement",
        "all",
        f"{CONF} log_statement: the log has no change of roles and rights, or data of statements too: log_statement is "
        "all. Fix: set log_statement to ddl.",
    ),
    (
        "postgres-audit",
        "conf/logging_collector",
        "on",
        f"{CONF} logging_collector: the audit log cannot read the log, which is in a file: logging_collector is on. "
        "Fix: set logging_collector to off.",
    ),
    (
        "postgres-audit",
        "conf/log_line_prefix",
        "'%m [%p] '",
        f"{CONF} log_line_prefix: the audit log cannot read the log, or clients can forge it: log_line_prefix is "
        "%m [%p] . Fix: set log_line_prefix to %m [%p] %c %s %e client=%h user=%u db=%d .",
    ),
    (
        "postgres-access",
        "hba",
        ["# nothing"],
        f"{POD}: PostgreSQL runs without a pg_hba.conf of ours; its own one takes logins without TLS. "
        "Fix: mount a pg_hba.conf with hostssl lines and scram-sha-256 only, and point hba_file to it.",
    ),
]


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
    lines = _formats.hba('hostssl "my base" all 10.0.0.0 255.0.0.0 scram-sha-256\n\nlocal all all\n')
    assert [(line.number, line.type, line.method) for line in lines] == [
        (1, "hostssl", "scram-sha-256"),
        (3, "local", ""),
    ]
    assert not _formats.is_hba("listen_addresses = '*'")


def test_settings_are_read_with_and_without_equals_signs() -> None:
    assert _formats.postgres("ssl on\nssl_cert_file = 'it''s.crt' # note\n#fsync = off\nSSL=off") == {
        "ssl": "off",
        "ssl_cert_file": "it's.crt",
    }


def test_every_rule_about_servers_is_broken_here() -> None:
    assert {case[0] for case in SERVERS} == {known_rule.id for known_rule in rules_of("database")}
