"""Settings, login lines, connections and roles as data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.postgres import component, config
from components.postgres.config import Member, PostgresConfig, PostgresDatabase, access_data, scram_verifier

GRAFANA = PostgresDatabase(name="grafana", owner="grafana")


def settings(count: int, **changed: Any) -> PostgresConfig:
    words: dict[str, Any] = {
        "members": [Member(name=f"postgres-{index}", host=f"host-{index}") for index in range(count)],
        "databases": [GRAFANA],
        "shared_buffers": "64MB",
        "max_connections": 60,
        "volume_bytes": 8 * 2**30,
    }
    return PostgresConfig(**(words | changed))


@pytest.mark.parametrize(
    ("members", "names"),
    [(1, ""), (2, ""), (3, 'ANY 1 ("postgres-0", "postgres-1", "postgres-2")')],
)
def test_commits_wait_for_a_standby_only_where_one_of_them_may_be_lost(members: int, names: str) -> None:
    assert config.server_settings(settings(members))["synchronous_standby_names"] == names


@pytest.mark.parametrize(("volume", "kept"), [(2**30, "128MB"), (8 * 2**30, "1024MB"), (256 * 2**20, "64MB")])
def test_the_log_that_is_kept_is_an_eighth_of_the_volume(volume: int, kept: str) -> None:
    server_settings = config.server_settings(settings(2, volume_bytes=volume))
    assert server_settings["wal_keep_size"] == server_settings["max_wal_size"] == kept


def test_followers_know_every_member_and_go_to_the_one_that_takes_writes() -> None:
    words = dict(word.split("=", 1) for word in config.leader(settings(3).members).split())
    assert words["host"] == "host-0,host-1,host-2"
    assert words["port"] == "5432,5432,5432"
    assert words["target_session_attrs"] == "primary"
    assert (words["sslmode"], words["channel_binding"]) == ("verify-full", "require")
    assert "password" not in words


def test_values_are_quoted() -> None:
    assert config.rendered_settings({"a": "it's", "b": True, "c": False, "d": 3}) == (
        "a = 'it''s'\nb = 'on'\nc = 'off'\nd = '3'\n"
    )


def test_over_the_network_there_is_tls_and_scram_or_nothing() -> None:
    lines = config.access_lines([GRAFANA])
    for line in lines:
        if line[0] == "local":
            assert line[2:] == ("postgres", "peer")
        else:
            assert line[0] == "hostssl"
            assert line[-1] in ("scram-sha-256", "reject")
    assert lines[1][-1] == "reject"
    assert lines[1][2] == "postgres", "the superuser does not come over the network"
    assert {line[3] for line in lines if line[2] == "metrics"} == {"127.0.0.1/32", "::1/128"}


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("Grafana", "grafana"),
        ("grafana", "grafana; DROP"),
        ("postgres", "grafana"),
        ("grafana", "postgres"),
        ("grafana", "replication"),
        ("grafana", "metrics"),
        ("", "grafana"),
        ("all grafana", "grafana"),
    ],
)
def test_names_that_would_be_more_than_names_are_refused(name: str, owner: str) -> None:
    with pytest.raises(ValueError, match="small letters, digits and _"):
        PostgresDatabase(name=name, owner=owner)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (PostgresDatabase(name="grafana", owner="other"), "database grafana occurs twice"),
        (PostgresDatabase(name="other", owner="grafana"), "owner grafana occurs twice"),
    ],
)
def test_no_two_databases_share_a_name_or_an_owner(second: PostgresDatabase, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(1, databases=[GRAFANA, second])


def test_a_verifier_is_that_of_the_standard() -> None:
    """The example of RFC 7677, with its salt and password read back."""
    verifier = scram_verifier("user", "pencil")
    assert re.fullmatch(r"SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:[A-Za-z0-9+/=]{44}", verifier)
    assert verifier == scram_verifier("user", "pencil"), "the same at every deployment"
    assert verifier != scram_verifier("other", "pencil")
    assert verifier != scram_verifier("user", "pencils")


@pytest.mark.parametrize("password", ["with space", "ünï", "", "a:b"])
def test_passwords_that_the_formats_cannot_carry_are_refused(password: str) -> None:
    with pytest.raises(ValueError, match="must be letters and digits"):
        scram_verifier("grafana", password)
    with pytest.raises(ValueError, match="must be letters and digits"):
        component.password_line("grafana", password)


def test_owners_leave_connections_for_the_platform() -> None:
    known = {"grafana": "a", "replication": "b", "metrics": "c"}
    roles = {role["name"]: role for role in access_data([GRAFANA], known, 60)["roles"]}
    assert roles["grafana"]["connections"] == 50
    assert not roles["grafana"]["replication"]
    assert roles["replication"]["replication"]


def test_every_script_is_in_the_files_and_every_command_names_one_of_them() -> None:
    files = component.files(settings(2))
    for command in (
        component.start_command(),
        component.promote_command(),
        component.demote_command(),
        list(component.alive_command()),
    ):
        assert command[0] == "bash"
        folder, _, name = command[1].rpartition("/")
        assert folder == config.CONFIG_DIRECTORY
        assert name in files
    for text in files.values():
        for name in re.findall(r"/etc/postgres/([\w.]+)", text):
            assert name in files


def test_of_statements_only_those_that_define_something_are_logged_and_no_values() -> None:
    server_settings = config.server_settings(settings(1))
    assert (server_settings["log_statement"], server_settings["log_min_error_statement"]) == ("ddl", "panic")
    assert (server_settings["log_min_duration_statement"], server_settings["log_parameter_max_length"]) == (-1, 0)
    assert server_settings["log_connections"] is server_settings["log_disconnections"] is True
