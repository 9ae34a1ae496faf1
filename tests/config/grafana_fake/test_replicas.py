"""Two replicas are one Grafana: they share sessions, content and blocks, and outlive each other and the database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.config.grafana_fake.replica import ADMIN, Harness, Replica
from tests.config.pki import write_certificates
from tests.config.servers import eventually

_HELD = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'folders'::regclass AND mode = 'AccessExclusiveLock' AND granted"
)
_WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'folders'::regclass AND NOT granted"


def test_replicas_that_start_at_once_on_an_empty_database_migrate_it_once(
    replicas: tuple[Replica, Replica], harness: Harness
) -> None:
    steps = sorted(line["steps"] for replica in replicas for line in replica.lines(logger="migrator"))

    assert steps[0] == 0
    assert steps[1] > 0
    assert harness.postgres.run("SELECT count(*), max(id) FROM migration_log") == f"{steps[1]}|{steps[1]}"
    assert harness.postgres.run("SELECT login FROM users WHERE server_admin") == ADMIN


def test_health_names_the_version_and_that_this_is_a_fake(first: Replica) -> None:
    answer = first.person().get("/api/health")

    assert answer.json() == {"database": "ok", "version": "12.3.1", "commit": "fake"}
    assert answer.headers["X-Fake"] == "grafana"


def test_a_session_made_on_one_replica_works_on_the_other_and_survives_its_death(
    first: Replica, second: Replica, harness: Harness
) -> None:
    person = first.person("viewer")
    stored = harness.postgres.run("SELECT string_agg(token_hash::text, ',') FROM sessions")
    assert person.session.cookies["grafana_session"] not in stored
    person.use(second)
    assert person.get("/api/user").json()["login"] == "viewer"

    first.end(kill=True)
    try:
        assert person.get("/api/user").json()["login"] == "viewer"
    finally:
        first.start()

    person.use(first)
    assert person.get("/api/user").json()["login"] == "viewer"


def test_a_logout_on_one_replica_ends_the_session_on_the_other(first: Replica, second: Replica) -> None:
    person = first.person("viewer")
    token = person.session.cookies["grafana_session"]
    left = person.get("/logout")

    assert (left.status_code, left.headers["Location"]) == (302, "/login")
    assert "Max-Age=0" in left.headers["Set-Cookie"]
    other = second.person()
    assert other.get("/api/user", headers={"Cookie": f"grafana_session={token}"}).status_code == 401


def test_content_made_on_one_replica_is_seen_on_the_other(first: Replica, second: Replica) -> None:
    response = first.administrator().post("/api/folders", {"uid": "shared", "title": "Shared"})

    assert response.status_code == 200, response.text
    assert second.administrator().get("/api/folders/shared").json()["title"] == "Shared"


def test_without_the_database_health_fails_and_everything_comes_back_with_it(
    first: Replica, second: Replica, harness: Harness
) -> None:
    person = first.person("viewer")
    harness.postgres.stop()
    try:
        failing = person.get("/api/health")
        assert (failing.status_code, failing.json()["database"]) == (503, "failing")
        refused = person.get("/api/user")
        assert (refused.status_code, refused.json()) == (503, {"message": "the database cannot be asked"})
        assert person.get("/healthz").status_code == 200
        assert first.person().log_in("viewer", "x").status_code == 503
    finally:
        harness.postgres.start()
    began = time.monotonic()

    for replica in (first, second):
        eventually(
            lambda instance=replica: instance.person().get("/api/health").status_code == 200, 30, "health is back"
        )
        assert replica.lines(logger="sqlstore", msg="The database cannot be asked") or replica is second
        assert len(replica.lines()) == len(replica.log.splitlines()), "every line of the log is JSON"
    print(f"the database was taken up again within {time.monotonic() - began:.1f} s")
    assert person.get("/api/user").json()["login"] == "viewer"


def test_a_renewed_certificate_is_taken_up_without_a_restart(harness: Harness) -> None:
    replica = harness.replica("renewed")
    replica.start()
    try:
        before = replica.ca_file.read_text()
        kept = replica.person("viewer")
        write_certificates(replica.folder)
        assert replica.ca_file.read_text() != before
        assert replica.person().get("/api/health").status_code == 200, "the new authority proves it"
        assert kept.get("/api/user").status_code == 200, "connections that are open stay open"
    finally:
        replica.end()


def test_a_gentle_end_gives_the_answers_that_are_under_way(harness: Harness) -> None:
    third = harness.replica("third")
    third.start()
    person = third.person("viewer")
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(harness.postgres.run, "BEGIN; LOCK TABLE folders; SELECT pg_sleep(10); COMMIT;")
        eventually(lambda: harness.postgres.run(_HELD) == "1", 10, "the table is held")
        answer = pool.submit(person.get, "/api/folders")
        eventually(lambda: harness.postgres.run(_WAITING) == "1", 10, "a request waits for it")
        code = third.end()

        assert (answer.result().status_code, answer.result().headers.get("Connection")) == (200, "close")
        assert code == 0
        held.result()
    assert "Traceback" not in third.log
