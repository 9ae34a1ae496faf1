"""People of a real directory: who comes in with which role, who does not, and what the log says about it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.audit.records import Line
from services.audit.sources import grafana
from tests.config.grafana_fake.directory_server import password_of
from tests.config.grafana_fake.replica import ADMIN, ADMIN_PASSWORD, SECRETS, Harness, Replica
from tests.config.servers import eventually

REFUSED = {"message": "Invalid username or password", "messageId": "password-auth.failed", "statusCode": 401}


@pytest.mark.parametrize(("name", "role"), [("viewer", "Viewer"), ("editor", "Editor"), ("admin-person", "Admin")])
def test_groups_of_the_directory_give_roles(first: Replica, name: str, role: str) -> None:
    person = first.person(name)
    user = person.get("/api/user").json()

    assert person.get("/api/user/orgs").json() == [{"orgId": 1, "name": "Main Org.", "role": role}]
    assert (user["email"], user["name"]) == (f"{name}@example.com", f"{name.capitalize()} Example")
    assert (user["authLabels"], user["isGrafanaAdmin"]) == (["LDAP"], False)


def test_the_session_cookie_is_for_this_site_over_tls_only_and_for_no_script(first: Replica) -> None:
    cookie = first.person().log_in("viewer", password_of("viewer")).headers["Set-Cookie"]

    assert cookie.startswith("grafana_session=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("viewer", "wrong", "wrong password"),
        ("nobody-at-all", "wrong", "not in the directory"),
        ("outsider", password_of("outsider"), "in no group that gives a role"),
        ("v*", password_of("viewer"), "not in the directory"),
        ("viewer)(uid=*", password_of("viewer"), "not in the directory"),
        (ADMIN, "wrong", "wrong password"),
    ],
)
def test_a_refusal_tells_people_nothing_and_the_log_the_reason(
    first: Replica, name: str, password: str, reason: str
) -> None:
    before = len(first.lines(msg="Login refused"))
    answer = first.person().log_in(name, password)
    line = first.lines(msg="Login refused")[before]

    assert answer.status_code == 401
    assert {key: answer.json()[key] for key in REFUSED} == REFUSED
    assert "Set-Cookie" not in answer.headers
    assert (line["uname"], line["reason"], line["status"]) == (name, reason, 401)
    assert (line["logger"], line["level"], line["remote_addr"]) == ("authn.service", "warn", "127.0.0.1")


def accesses(replica: Replica) -> list[tuple[str, str, str, str]]:
    """What the audit log takes from a replica's log: who, action, target, outcome."""
    at = datetime(2026, 11, 28, tzinfo=UTC)
    lines = (grafana(Line(time=at, workload="grafana", text=line)) for line in replica.log.splitlines())
    return [(line.who, line.action, line.target, str(line.outcome)) for line in lines if line is not None]


def test_the_audit_log_is_told_who_logged_in_looked_and_was_refused(first: Replica) -> None:
    before = len(accesses(first))
    first.person().log_in("viewer", "wrong")
    first.administrator().get("/api/dashboards/uid/nothing")
    person = first.person("viewer")
    person.get("/api/dashboards/uid/nothing")
    person.post("/api/folders", {"title": "x"})
    first.person().get("/api/dashboards/uid/nothing")

    assert accesses(first)[before:] == [
        ("-", "log in", "grafana:login", "refused"),
        (ADMIN, "read dashboard", "dashboard:nothing", "allowed"),
        ("-", "log in", "grafana:login", "allowed"),
        ("viewer", "read dashboard", "dashboard:nothing", "refused"),
        ("viewer", "change", "grafana:folders", "refused"),
        ("-", "read dashboard", "dashboard:nothing", "refused"),
    ]


def test_an_empty_password_is_never_an_anonymous_bind(first: Replica) -> None:
    assert first.person().log_in("viewer", "").status_code == 401


def test_accepted_logins_and_logouts_are_in_the_log(first: Replica) -> None:
    person = first.person("editor")
    number = person.get("/api/user").json()["id"]
    person.get("/logout")

    accepted = first.lines(msg="Login accepted", uname="editor")[-1]
    assert (accepted["userId"], accepted["role"], accepted["source"]) == (number, "Editor", "ldap")
    assert first.lines(msg="Logged out", uname="editor")[-1]["userId"] == number


def test_basic_auth_works_for_the_administrator_and_for_people_of_the_directory(first: Replica) -> None:
    person = first.person()

    person.session.auth = ("viewer", password_of("viewer"))
    assert person.get("/api/user").json()["login"] == "viewer"
    person.session.auth = (ADMIN, ADMIN_PASSWORD)
    assert person.get("/api/user").json()["isGrafanaAdmin"] is True
    person.session.auth = (ADMIN, "wrong")
    refused = person.get("/api/user")
    assert (refused.status_code, refused.json()["messageId"]) == (401, "password-auth.failed")


def test_five_wrong_passwords_block_a_login_on_both_replicas_until_they_are_old(
    first: Replica, second: Replica, harness: Harness
) -> None:
    for _ in range(5):
        assert first.person().log_in("crowd", "wrong").status_code == 401

    blocked = second.person().log_in("CROWD", password_of("crowd"))
    assert (blocked.status_code, blocked.json()["messageId"]) == (401, "login-attempt.blocked")
    assert second.lines(msg="Login refused", uname="CROWD")[-1]["reason"] == "blocked after too many wrong passwords"
    assert first.person().log_in("viewer", password_of("viewer")).status_code == 200
    harness.postgres.run("UPDATE login_attempts SET made = made - interval '6 minutes'")
    assert second.person().log_in("crowd", password_of("crowd")).status_code == 200


def test_role_and_account_follow_the_directory_at_each_login(first: Replica, second: Replica, harness: Harness) -> None:
    harness.directory.add_person("mover", "monitoring-viewers")
    assert first.person("mover").get("/api/user/orgs").json()[0]["role"] == "Viewer"

    harness.directory.set_member("monitoring-editors", "mover", "add")
    person = first.person("mover")
    assert person.get("/api/user/orgs").json()[0]["role"] == "Editor"

    harness.directory.remove_person("mover", "monitoring-viewers")
    assert second.person().log_in("mover", password_of("mover")).status_code == 401
    people = {account["login"]: account for account in first.administrator().get("/api/users").json()}
    assert people["mover"]["isDisabled"] is True
    assert person.get("/api/user").status_code == 401, "the sessions of a disabled account end"


def test_without_the_directory_only_the_local_administrator_comes_in_and_sessions_stay(
    first: Replica, harness: Harness
) -> None:
    person = first.person("viewer")
    harness.directory.stop()
    try:
        refused = first.person().log_in("editor", password_of("editor"))
        assert refused.status_code == 401
        assert first.lines(msg="Login refused")[-1]["reason"].startswith("the directory cannot be asked: localhost: ")
        assert first.person().log_in(ADMIN, ADMIN_PASSWORD).status_code == 200
        assert person.get("/api/user").json()["login"] == "viewer"
    finally:
        harness.directory.start()
    assert first.person("editor").get("/api/login/ping").json() == {"message": "Logged in"}


def test_a_directory_with_a_certificate_of_another_authority_gets_no_password(harness: Harness) -> None:
    replica = harness.replica("wrong-directory-ca")
    toml = replica.folder / "ldap.toml"
    toml.write_text(toml.read_text().replace(str(harness.directory.ca_file), str(harness.postgres.ca_file)))
    replica.start()
    try:
        assert replica.person().log_in("viewer", password_of("viewer")).status_code == 401
        assert "certificate verify failed" in replica.lines(msg="Login refused")[-1]["reason"]
    finally:
        replica.end()


def test_a_database_with_a_certificate_of_another_authority_is_refused(harness: Harness) -> None:
    replica = harness.replica(
        "wrong-database-ca", change={("database", "ca_cert_path"): str(harness.directory.ca_file)}
    )
    replica.begin()
    try:
        eventually(lambda: bool(replica.lines(msg="The database cannot be asked yet")), 20, "it tells why it waits")
        assert "SSL error" in replica.lines(msg="The database cannot be asked yet")[0]["reason"]
        assert not replica.lines(msg="HTTP Server Listen")
        assert harness.postgres.run("SELECT count(*) FROM users") != "0", "the database itself is well"
    finally:
        replica.end(kill=True)


def test_an_idle_session_ends(harness: Harness) -> None:
    change = {("auth", "login_maximum_inactive_lifetime_duration"): "2s"}
    replica = harness.replica("short", change=change)
    replica.start()
    try:
        person = replica.person("viewer")
        assert person.get("/api/user").status_code == 200
        harness.postgres.run("UPDATE sessions SET seen = seen - interval '3 seconds'")
        assert person.get("/api/user").status_code == 401
    finally:
        replica.end()


def test_no_secret_is_in_any_log(replicas: tuple[Replica, Replica], harness: Harness) -> None:
    person = replicas[0].person("viewer")
    token = person.session.cookies["grafana_session"]
    person.get(f"/api/search?query={password_of('viewer')}")

    for file in harness.folder.glob("*/output.log"):
        said = file.read_text()
        for secret in (*SECRETS, token):
            assert secret not in said, file
