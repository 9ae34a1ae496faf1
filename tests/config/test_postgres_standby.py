"""Real members together: they follow, they are led over, and what was confirmed stays."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from components.k8s import UID
from components.postgres import component
from tests.config.postgres_container import scratch
from tests.config.postgres_process import PATIENCE_S, START_S, Postgres, issue, postgres
from tests.config.servers import eventually
from tests.support.kafka_nodes import Authority


@pytest.fixture(scope="module")
def members() -> Iterator[Postgres]:
    with postgres(1) as servers:
        yield servers


@pytest.fixture
def pair(members: Postgres) -> Postgres:
    """A primary with an empty table, and its standby, which has it too."""
    members.as_new()
    with members.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept (number integer)")
    eventually(lambda: members.rows(1) == [], 10, "the standby has nothing of an earlier test")
    return members


@pytest.fixture(scope="module")
def three() -> Iterator[Postgres]:
    with postgres(2, empty=True) as servers:
        with servers.connect() as connection:
            connection.execute("CREATE TABLE kept (number integer)")
        yield servers


def write(servers: Postgres, numbers: range, index: int = 0) -> None:
    """Rows, each confirmed."""
    with servers.connect(index) as connection:
        for number in numbers:
            connection.execute("INSERT INTO kept VALUES (%s)", [number])


def promote(servers: Postgres, index: int) -> subprocess.CompletedProcess[str]:
    return servers.servers[index].container.run(component.promote_command(), check=False)


def demote(servers: Postgres, index: int) -> subprocess.CompletedProcess[str]:
    return servers.servers[index].container.run(component.demote_command(), check=False)


def come_back(servers: Postgres, index: int) -> None:
    """The kubelet starts a container again that ended."""
    server = servers.servers[index]
    eventually(lambda: not server.container.running(), 30, f"{server.member.name} has ended")
    server.start()
    server.wait()


def test_a_standby_has_every_row_and_takes_none(pair: Postgres) -> None:
    write(pair, range(50))
    eventually(lambda: pair.rows(1) == list(range(50)), 10, "the standby has the rows")
    with pair.connect(1) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO kept VALUES (99)")
    follower = pair.one(
        "SELECT usename || ' ' || application_name || ' ' || ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
    )
    assert follower == "replication postgres-1 true"


def test_a_standby_gives_its_password_to_no_server_of_another_authority(pair: Postgres) -> None:
    before = len(pair.servers[1].container.log)
    issue(Authority(), pair.servers[0].container.folder / "tls", pair.names)
    eventually(lambda: "the certificate was renewed" in pair.servers[0].container.log, 20, "it was taken")
    pair.one("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    eventually(
        lambda: re.search(r"SSL error", pair.servers[1].container.log[before:]) is not None, 20, "it refuses the server"
    )
    time.sleep(3)
    assert pair.streaming() == 0
    pair.renew()
    eventually(lambda: pair.streaming() == 1, 30, "it follows again")


def test_a_standby_that_was_away_catches_up_and_one_without_data_is_filled_anew(pair: Postgres) -> None:
    standby = pair.servers[1]
    standby.end()
    write(pair, range(100))
    standby.start()
    standby.wait()
    eventually(lambda: pair.rows(1) == list(range(100)), 10, "it has caught up")
    standby.end()
    volume = standby.container.folder / "volume"
    shutil.rmtree(volume)
    scratch(volume)
    standby.start()
    standby.wait()
    eventually(lambda: pair.rows(1) == list(range(100)), 10, "it was filled")
    assert "copying from postgres-0" in standby.container.log


def test_a_primary_comes_back_as_primary_though_its_standby_is_gone(pair: Postgres) -> None:
    write(pair, range(3))
    pair.servers[1].end()
    pair.servers[0].end(kill=True)
    pair.servers[0].start()
    pair.servers[0].wait()
    write(pair, range(3, 5))
    assert pair.rows() == list(range(5))


def test_while_one_takes_writes_no_other_is_promoted(pair: Postgres) -> None:
    done = promote(pair, 1)
    assert done.returncode == 1
    assert "postgres-0 takes writes" in done.stderr
    assert pair.one("SELECT pg_is_in_recovery()", 1) == "t"


def test_a_lead_is_handed_over_without_losing_a_row(pair: Postgres) -> None:
    write(pair, range(200))
    assert demote(pair, 0).returncode == 0
    come_back(pair, 0)
    assert pair.one("SELECT pg_is_in_recovery()", 0) == "t"
    done = promote(pair, 1)
    assert done.returncode == 0, done.stderr
    assert "set database.embedded.primary to 1" in done.stderr
    write(pair, range(200, 210), 1)
    eventually(lambda: pair.streaming(1) == 1, 30, "the old one follows the new one")
    eventually(lambda: pair.rows(0) == list(range(210)), 10, "the old one has all rows")
    assert promote(pair, 1).returncode == 0, "it takes writes already, which is no error"


def test_nobody_is_demoted_when_nobody_follows(pair: Postgres) -> None:
    pair.servers[1].end()
    done = demote(pair, 0)
    assert done.returncode == 1
    assert "nobody follows" in done.stderr
    write(pair, range(1))


def test_a_lost_primary_that_comes_back_follows_the_one_that_was_promoted(pair: Postgres) -> None:
    write(pair, range(20))
    eventually(lambda: pair.rows(1) == list(range(20)), 10, "the standby has the rows")
    pair.servers[1].end()
    write(pair, range(900, 910))
    pair.servers[0].end(kill=True)
    pair.servers[1].start()
    pair.servers[1].wait()
    assert promote(pair, 1).returncode == 0
    write(pair, range(20, 30), 1)
    pair.servers[0].start()
    pair.servers[0].wait()
    assert "postgres-1 was promoted after this member" in pair.servers[0].container.log
    eventually(lambda: pair.rows(0) == list(range(30)), 10, "it has what the new one has, and nothing else")
    assert pair.one("SELECT pg_is_in_recovery()", 0) == "t"
    pair.servers[1].end()
    pair.servers[1].start()
    pair.servers[1].wait()
    write(pair, range(30, 35), 1)


def test_an_empty_volume_is_no_reason_to_begin_anew_while_another_member_has_data(pair: Postgres) -> None:
    write(pair, range(10))
    eventually(lambda: pair.rows(1) == list(range(10)), 10, "the standby has the rows")
    server = pair.servers[0]
    server.end(kill=True)
    volume = server.container.folder / "volume"
    shutil.rmtree(volume)
    scratch(volume)
    server.start()
    eventually(lambda: not server.container.running(), 30, "it gives up")
    assert "this volume is empty, postgres-1 has data, and nobody takes writes: promote it" in server.container.log
    assert promote(pair, 1).returncode == 0
    server.start()
    server.wait()
    eventually(lambda: pair.rows(0) == list(range(10)), 10, "it was filled by the promoted one")


def test_an_empty_volume_waits_for_the_owner_of_the_data_however_slow_it_is(pair: Postgres) -> None:
    write(pair, range(10))
    eventually(lambda: pair.rows(1) == list(range(10)), 10, "the standby has the rows")
    first, owner = pair.servers
    owner.end()
    first.end(kill=True)
    volume = first.container.folder / "volume"
    shutil.rmtree(volume)
    scratch(volume)
    first.start()
    said = "this volume is empty and there is a cluster: waiting for postgres-1, which does not answer"
    eventually(lambda: said in first.container.log, 20, "it says what it waits for")
    time.sleep(PATIENCE_S + 2)
    assert not (volume / "data").exists(), "it began another cluster"
    owner.start()
    owner.wait()
    eventually(lambda: not first.container.running(), 30, "it tells a person to promote the owner of the data")
    assert promote(pair, 1).returncode == 0
    come_back(pair, 0)
    eventually(lambda: pair.rows(0) == list(range(10)), 10, "it has the owner's rows")


def test_an_attempt_that_broke_off_is_left_to_a_person(pair: Postgres) -> None:
    server = pair.servers[1]
    server.end()
    (server.container.folder / "volume" / "rewinding").touch()
    server.start()
    eventually(lambda: not server.container.running(), 20, "it gives up")
    assert "delete this pod's volume claim and the pod" in server.container.log
    assert (server.container.folder / "volume" / "data" / "PG_VERSION").exists(), "nothing is deleted"


def test_two_containers_never_open_one_volume(pair: Postgres) -> None:
    first = pair.servers[1]
    second = type(first)(first.member, first.address, type(first.container)(**vars(first.container)))
    folder = first.container.folder.with_name("twin")
    folder.mkdir()
    second.container.folder = folder
    second.container.process = None
    second.start()
    try:
        eventually(lambda: not second.container.running(), 20, "it gives up")
        assert "another server has this volume open" in second.container.log
    finally:
        second.end(kill=True)
    eventually(lambda: pair.streaming() == 1, 10, "the first one is not disturbed")


def test_a_member_that_waits_for_its_data_ends_when_it_is_told_to() -> None:
    with postgres(1, start=False) as servers:
        [_, standby] = servers.servers
        standby.start()
        eventually(lambda: "waiting for a member that takes writes" in standby.container.log, 20, "it waits")
        started = time.monotonic()
        standby.end()
        assert time.monotonic() - started < 60


def test_with_two_standbys_a_commit_is_on_one_of_them(three: Postgres) -> None:
    """A primary is killed in the midst of writes and lost with its volume: every confirmed row is there."""
    assert three.one("SHOW synchronous_standby_names") == 'ANY 1 ("postgres-0", "postgres-1", "postgres-2")'
    states = three.one("SELECT string_agg(sync_state, ',') FROM pg_stat_replication")
    assert states == "quorum,quorum"
    confirmed: list[int] = []

    def keep_writing() -> None:
        try:
            with three.connect() as connection:
                for number in range(100_000):
                    connection.execute("INSERT INTO kept VALUES (%s)", [number])
                    confirmed.append(number)
        except psycopg.OperationalError:
            return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        eventually(lambda: len(confirmed) > 300, 30, "rows are confirmed")
        three.servers[2].end()
        count = len(confirmed)
        eventually(lambda: len(confirmed) > count + 100, 30, "one standby less, and writes go on")
        three.servers[2].start()
        three.servers[2].wait()
        eventually(lambda: three.streaming() == 2, 30, "both follow")
        three.servers[0].end(kill=True)
    finally:
        writer.join(timeout=60)
    shutil.rmtree(three.servers[0].container.folder / "volume")
    behind = promote(three, 1)
    leading = 1 if behind.returncode == 0 else 2
    if leading == 2:
        assert "postgres-2 has received more than postgres-1" in behind.stderr
        assert promote(three, 2).returncode == 0
    rows = three.rows(leading)
    assert set(confirmed) <= set(rows)
    other = 3 - leading
    eventually(lambda: three.streaming(leading) == 1, START_S, "the other standby follows the new one by itself")
    write(three, range(200_000, 200_010), leading)
    assert set(range(200_000, 200_010)) <= set(three.rows(leading))
    eventually(lambda: three.rows(other) == three.rows(leading), 10, "the other has the same rows")


def test_the_standby_that_has_less_is_not_promoted() -> None:
    with postgres(2) as servers:
        with servers.connect() as connection:
            connection.execute("CREATE TABLE kept (number integer)")
        servers.servers[1].end()
        write(servers, range(10))
        eventually(lambda: servers.rows(2) == list(range(10)), 10, "one has the rows")
        servers.servers[0].end(kill=True)
        servers.servers[1].start()
        servers.servers[1].wait()
        done = promote(servers, 1)
        assert done.returncode == 1
        assert "postgres-2 has received more than postgres-1: promote that one" in done.stderr
        assert promote(servers, 2).returncode == 0


def test_the_pods_user_is_what_owns_the_data(three: Postgres) -> None:
    status = (three.servers[1].container.folder / "volume" / "data").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (UID, 0o700)
