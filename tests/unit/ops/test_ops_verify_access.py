"""The checks of who may read, against fakes of the platform: each promise broken once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from ops.checks import access, visualization
from ops.core.errors import OpsError
from ops.core.grafana import TEST_ACCOUNTS_FILE
from tests.unit.ops.visualization_fakes import State
from tests.unit.ops.visualization_platform import INI, LDAP, known, platforms


@pytest.fixture
def platform_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes platforms."""
    return platforms(tmp_path, monkeypatch)


def test_two_replicas_that_share_sessions_pass(platform_factory: Any) -> None:
    with platform_factory() as (platform, state):
        finding = visualization.g1(platform.context)
    assert finding.wrong == []
    assert finding.figures == ["1 of 1 standbys replicate", "2 replicas, 2 sessions tried at the other replica"]
    assert state.sessions == {}, "the check leaves no session behind"


def test_a_session_that_is_good_at_its_own_replica_only_is_found(platform_factory: Any) -> None:
    with platform_factory(State(shared=False)) as (platform, _):
        wrong = visualization.g1(platform.context).wrong
    assert wrong == [
        "response of grafana-1 to a session of grafana-0 is 401, must be 200",
        "response of grafana-0 to a session of grafana-1 is 401, must be 200",
    ]


def test_a_missing_replica_is_found(platform_factory: Any) -> None:
    with platform_factory(ready=1) as (platform, _):
        assert visualization.g1(platform.context).wrong == ["number of ready Grafana replicas is 1, must be 2"]


def test_a_standby_that_does_not_follow_is_found(platform_factory: Any) -> None:
    with platform_factory(standbys=(0.0, 1.0)) as (platform, _):
        assert visualization.g1(platform.context).wrong == ["standbys that replicate the database is 0.0, must be 1.0"]
    with platform_factory(standbys=(None, None)) as (platform, _):
        assert visualization.g1(platform.context).wrong == ["pg_standbys_wanted has no series"]


@pytest.mark.parametrize(
    ("setting", "instead", "says"),
    [
        ("ssl_mode = verify-full", "ssl_mode = require", "[database] ssl_mode of Grafana is require"),
        ("ssl_mode = verify-full", "", "[database] ssl_mode of Grafana is disable, must be verify-full"),
        ("type = postgres", "type = sqlite3", "[database] type of Grafana is sqlite3"),
        ("ca_cert_path = /etc/trust/ca.crt", "", "no CA is configured"),
        ("[unified_alerting]\nenabled = false", "", "[unified_alerting] enabled of Grafana is true"),
    ],
)
def test_a_setting_that_breaks_the_promise_is_found(
    platform_factory: Any, setting: str, instead: str, says: str
) -> None:
    with platform_factory(files={"grafana.ini": INI.replace(setting, instead)}) as (platform, _):
        [wrong] = visualization.g1(platform.context).wrong
    assert says in wrong


def test_a_variable_goes_before_the_file(platform_factory: Any) -> None:
    with platform_factory(variables={"GF_DATABASE_SSL_MODE": "require"}) as (platform, _):
        [wrong] = visualization.g1(platform.context).wrong
    assert "ssl_mode of Grafana is require" in wrong
    assert access.Settings(sections={}, variables={"GF_AUTH_LDAP_ENABLED": "true"}).of("auth.ldap", "enabled") == "true"


def test_somebody_who_gets_in_without_a_login_is_found(platform_factory: Any) -> None:
    with platform_factory(State(anonymous=True)) as (platform, _):
        wrong = visualization.g1(platform.context).wrong
    assert "response without a login is 200, must be 401" in wrong


def test_files_that_cannot_be_read_are_one_line(platform_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        platform_factory(files={}) as (platform, _),
        pytest.raises(OpsError, match=r"mounts no ConfigMap or Secret with a file"),
    ):
        visualization.g1(platform.context)
    with (
        platform_factory(files={"grafana.ini": "nonsense"}) as (platform, _),
        pytest.raises(OpsError, match="cannot be read"),
    ):
        visualization.g1(platform.context)
    refused = ApiException(status=403, reason="Forbidden")

    def refuse(*_: object, **__: object) -> None:
        raise refused

    with platform_factory() as (platform, _):
        monkeypatch.setattr(platform, "_pod", refuse)
        with pytest.raises(OpsError, match="cannot read the configuration of grafana-0: HTTP 403 Forbidden"):
            visualization.g1(platform.context)


def test_a_directory_that_decides_everything_passes(platform_factory: Any) -> None:
    with platform_factory() as (platform, _):
        finding = access.g5(platform.context)
    assert finding.wrong == []
    assert finding.figures == ["1 folders"]
    assert any(TEST_ACCOUNTS_FILE in remark for remark in finding.seen)


def test_people_of_every_role_try_where_their_accounts_are_known(
    platform_factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(tmp_path, monkeypatch)
    with platform_factory() as (platform, state):
        finding = access.g5(platform.context)
    assert finding.wrong == []
    assert state.logins == ["viewer", "editor", "admin-person"]
    assert state.sessions == {}
    assert finding.figures[-1] == "24 requests tried with 3 roles"


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"let_in": {"outsider"}}, "response to a user in no group is 200, must be 401"),
        ({"open_to": {"/api/datasources"}}, "Viewer: GET /api/datasources is 200, must be 403"),
        ({"open_to": {"/api/users"}}, "Admin: GET /api/users is 200, must be 403"),
        ({"roles": {"viewer": "Admin", "editor": "Editor", "admin-person": "Admin"}}, "role of viewer is Admin"),
        (
            {"roles": {"viewer": "Viewer", "editor": "Editor"}},
            "Admin: Grafana answers 401 to the login of admin-person",
        ),
        ({"hidden": {}}, "Viewer: GET /api/dashboards/uid/obs-operations is 200, must be 403"),
        ({"publishes": True}, "a snapshot: answered 200, must be refused"),
        ({"anonymous": True}, "response without a login is 200, must be 401"),
        ({"folders": {}}, "Grafana has no folder"),
        ({"folders": {"a": [{"role": "Viewer", "permission": 2}]}}, "viewers may change folder a"),
        ({"folders": {"a": [{"role": "Editor", "permission": 4}]}}, "editors may give permissions in folder a"),
    ],
)
def test_whoever_may_more_than_promised_is_found(
    platform_factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differs: dict[str, Any], says: str
) -> None:
    known(tmp_path, monkeypatch)
    state = State(**differs)
    state.roles = {**state.roles, "admin": "Admin"}
    with platform_factory(state) as (platform, _):
        assert any(says in problem for problem in access.g5(platform.context).wrong)


@pytest.mark.parametrize(
    ("file", "text", "instead", "says"),
    [
        ("grafana.ini", "[auth.ldap]\nenabled = true", "", "[auth.ldap] enabled is false, must be true"),
        ("grafana.ini", "[snapshots]\nenabled = false", "", "[snapshots] enabled is true, must be false"),
        ("grafana.ini", "allow_sign_up = false", "allow_sign_up = true", "[users] allow_sign_up is true"),
        ("ldap.toml", "use_ssl = true", "use_ssl = false", "directory.example.com: LDAP without TLS"),
        ("ldap.toml", "ssl_skip_verify = false", "ssl_skip_verify = true", "certificate is not verified"),
        ("ldap.toml", 'org_role = "Editor"', 'org_role = "Admin"', "roles is Admin, Viewer, must be"),
        ("ldap.toml", '"cn=monitoring-viewers,ou=groups"', '"*"', "every user of the directory gets a role"),
        ("ldap.toml", LDAP, "", "ldap.toml names no server"),
    ],
)
def test_a_configuration_that_lets_others_in_is_found(
    platform_factory: Any, file: str, text: str, instead: str, says: str
) -> None:
    files = {"grafana.ini": INI, "ldap.toml": LDAP}
    assert text in files[file]
    with platform_factory(files={**files, file: files[file].replace(text, instead)}) as (platform, _):
        assert any(says in problem for problem in access.g5(platform.context).wrong)
