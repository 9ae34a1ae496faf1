"""The real exporter beside a real primary and its standby: every metric that rules and people read is there."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import psycopg
import pytest
import requests
import yaml

from components.k8s import TLS_MOUNT
from components.postgres import component, config
from components.postgres.rules import METRICS as READ
from components.web_access import web_config
from lab.toolchain import tools
from tests.config.postgres_container import Container, write_volume
from tests.config.postgres_process import Postgres, Server, password_of, postgres
from tests.config.servers import START_SECONDS, eventually, free_port, port_is_open

Scraped = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture(scope="module")
def pair() -> Iterator[Postgres]:
    with postgres(1) as servers:
        yield servers


def exporter(server: Server, port: int) -> Container:
    """The exporter's container as its pod has it."""
    folder = server.container.folder.with_name(f"{server.member.name}-exporter")
    folder.mkdir()
    known = bcrypt.hashpw(password_of("scrape").encode(), bcrypt.gensalt(4)).decode()
    web = yaml.safe_dump(web_config({"scrape-postgres": known}))
    write_volume(folder / "files", component.exporter_files(), secret=False)
    write_volume(folder / "secrets", {"web.yml": web, "password": password_of(config.METRICS)}, secret=True)
    mounts = {
        "/bin/postgres_exporter": (tools.path("postgres_exporter"), "ro"),
        component.EXPORTER_DIRECTORY: (folder / "files", "ro"),
        component.EXPORTER_SECRETS: (folder / "secrets", "ro"),
        TLS_MOUNT: (server.container.folder / "tls", "ro"),
        "/etc/hosts": server.container.mounts["/etc/hosts"],
    }
    environment = component.exporter_environment(server.member.port)
    return Container(folder, mounts, component.exporter_command(port=port), environment)


@pytest.fixture(scope="module")
def exporters(pair: Postgres) -> Iterator[list[tuple[int, Container]]]:
    with ExitStack() as stack:
        running_exporters = []
        for server in pair.servers:
            port = free_port()
            container = exporter(server, port)
            container.start()
            stack.callback(container.end, kill=True)
            eventually(lambda port=port: port_is_open(port), START_SECONDS, "the exporter listens")  # type: ignore[misc]
            running_exporters.append((port, container))
        yield running_exporters


def scrape(servers: Postgres, port: int) -> Scraped:
    """Metric -> labels and value."""
    answer = requests.get(
        f"https://localhost:{port}/metrics",
        auth=("scrape-postgres", password_of("scrape")),
        verify=str(servers.ca),
        timeout=60,
    )
    answer.raise_for_status()
    samples: Scraped = {}
    for line in answer.text.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            samples.setdefault(match[1], []).append((labels, float(match[3])))
    return samples


def test_it_serves_over_tls_to_its_own_user_only(pair: Postgres, exporters: list[tuple[int, Container]]) -> None:
    port = exporters[0][0]
    for auth in (None, ("scrape-postgres", "wrong"), ("somebody", password_of("scrape"))):
        answer = requests.get(f"https://localhost:{port}/metrics", auth=auth, verify=str(pair.ca), timeout=60)
        assert answer.status_code == 401
    assert requests.get(f"http://localhost:{port}/metrics", timeout=60).status_code == 400


def test_every_metric_that_rules_read_is_there(pair: Postgres, exporters: list[tuple[int, Container]]) -> None:
    primary, standby = (scrape(pair, port) for port, _ in exporters)
    assert {name for name in READ if name not in primary} == set()
    only_there = {"pg_standbys_streaming", "pg_standbys_wanted", "pg_stat_replication_pg_wal_lsn_diff"}
    assert {name for name in READ if name not in standby} == only_there


def test_it_tells_who_leads_and_who_follows(pair: Postgres, exporters: list[tuple[int, Container]]) -> None:
    primary, standby = (scrape(pair, port) for port, _ in exporters)
    for metrics, replica in ((primary, 0), (standby, 1)):
        assert metrics["pg_up"][0][1] == 1
        assert metrics["pg_replication_is_replica"] == [({}, replica)]
        assert metrics["pg_exporter_last_scrape_error"][0][1] == 0
        assert {value for _, value in metrics["pg_scrape_collector_success"]} == {1}
    [(labels, behind)] = [
        sample for sample in primary["pg_stat_replication_pg_wal_lsn_diff"] if sample[0]["state"] == "streaming"
    ]
    assert labels["application_name"] == "postgres-1"
    assert behind < 2**20
    assert [value for _, value in primary["pg_standbys_streaming"]] == [1]
    assert [value for _, value in primary["pg_standbys_wanted"]] == [1]


def test_it_tells_how_full_the_volume_and_the_connections_are(
    pair: Postgres, exporters: list[tuple[int, Container]]
) -> None:
    with pair.connect():
        metrics = scrape(pair, exporters[0][0])
    assert [value for _, value in metrics["pg_volume_size_bytes"]] == [2**30]
    [(_, used)] = metrics["pg_volume_used_bytes"]
    assert 2**24 < used < 2**28
    assert [value for _, value in metrics["pg_settings_max_connections"]] == [30]
    backends = {labels["datname"]: value for labels, value in metrics["pg_stat_database_numbackends"]}
    assert backends["grafana"] >= 1
    assert {labels["datname"] for labels, _ in metrics["pg_checksum_failures"]} >= {"grafana", "postgres", "shared"}


def test_a_long_transaction_and_a_deadlock_are_counted(pair: Postgres, exporters: list[tuple[int, Container]]) -> None:
    port = exporters[0][0]

    def deadlocks() -> float:
        samples = scrape(pair, port)["pg_stat_database_deadlocks"]
        return next(value for labels, value in samples if labels["datname"] == "grafana")

    before = deadlocks()
    with pair.connect() as one, pair.connect() as two:
        one.execute("CREATE TABLE IF NOT EXISTS a (n integer)")
        one.execute("CREATE TABLE IF NOT EXISTS b (n integer)")
        for connection, table in ((one, "a"), (two, "b")):
            connection.execute("BEGIN")
            connection.execute(f"LOCK TABLE {table}")
        age = scrape(pair, port)["pg_long_running_transactions_oldest_timestamp_seconds"][0][1]
        assert age > 0
        one.execute("SET lock_timeout = '60s'")
        raised = []

        def second() -> None:
            try:
                two.execute("LOCK TABLE a")
            except psycopg.Error as error:
                raised.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        try:
            one.execute("LOCK TABLE b")
        except psycopg.Error as error:
            raised.append(error)
        thread.join(timeout=60)
        assert any(isinstance(error, psycopg.errors.DeadlockDetected) for error in raised)
        one.execute("ROLLBACK")
        two.execute("ROLLBACK")
    eventually(lambda: deadlocks() > before, 15, "the deadlock is counted")


def test_it_comes_back_when_its_server_does(pair: Postgres, exporters: list[tuple[int, Container]]) -> None:
    port = exporters[1][0]
    standby = pair.servers[1]
    standby.end()
    down = scrape(pair, port)
    assert down["pg_up"][0][1] == 0
    assert "pg_replication_is_replica" not in down
    standby.start()
    standby.wait()
    assert scrape(pair, port)["pg_up"][0][1] == 1


def test_its_role_reads_statistics_and_no_rows(pair: Postgres) -> None:
    with pair.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS secret (n integer)")
    words = {"user": config.METRICS, "dbname": "postgres", "password": password_of(config.METRICS)}
    with pair.connect(0, **words) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_activity").fetchone() == (True,)
        for refused in ("SELECT * FROM pg_authid", "SELECT pg_read_file('/etc/passwd')", "CREATE TABLE x (a integer)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)


def test_no_password_is_in_its_log_or_environment(exporters: list[tuple[int, Container]]) -> None:
    for _, container in exporters:
        environment = Path(f"/proc/{container.first}/environ").read_text()
        assert "DATA_SOURCE_PASS_FILE" in environment
        assert password_of(config.METRICS) not in container.log + environment
