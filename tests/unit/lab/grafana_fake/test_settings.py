"""grafana.ini: what is read, what variables change, and the one line that a mistake gets."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from lab.fakes.grafana.settings import Ini, SettingsError
from tests.unit.lab.grafana_fake.files import read, write_ini

CHECKOUT = Path(__file__).parents[4]


def test_settings_are_read_with_grafanas_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path)

    assert (settings.host, settings.port, settings.log_requests) == ("0.0.0.0", 3000, False)
    assert (settings.database.host, settings.database.port, settings.database.name) == (
        "postgres.obs.svc",
        5432,
        "grafana",
    )
    assert (settings.database.max_connections, settings.database.idle_connections) == (20, 2)
    assert (settings.login.admin_user, settings.login.cookie, settings.login.same_site) == (
        "admin",
        "grafana_session",
        "Strict",
    )
    assert (settings.login.inactive, settings.login.longest) == (timedelta(days=7), timedelta(days=30))
    assert (settings.login.brute_force, settings.login.attempts, settings.login.directory_file) == (True, 5, None)
    assert settings.sources == tmp_path / "conf/provisioning/datasources"


def test_a_variable_of_the_environment_is_above_the_file(tmp_path: Path) -> None:
    environment = {"GF_SERVER_HTTP_PORT": "4000", "GF_DATABASE_MAX_OPEN_CONN": "7", "GF_AUTH_LDAP_ENABLED": "true"}
    settings = read(tmp_path, environment=environment)

    assert (settings.port, settings.database.max_connections) == (4000, 7)
    assert settings.login.directory_file == Path("/etc/grafana/ldap.toml")


def test_references_to_files_and_variables_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file # ; %(x)\n")
    change = {
        ("database", "password"): f"$__file{{{tmp_path / 'secret'}}}",
        ("database", "user"): "$__env{WHO}",
        ("database", "name"): "${WHO}-data",
    }
    settings = read(tmp_path, change, {"WHO": "someone"})

    assert settings.database.password == "from-the-file # ; %(x)"
    assert (settings.database.user, settings.database.name) == ("someone", "someone-data")


@pytest.mark.parametrize("text", ['"""a;#b"""', "`a;#b`", '"a;#b"'])
def test_quotes_around_a_value_are_none_of_it(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, {("database", "password"): text}).database.password == "a;#b"


def test_values_of_the_same_section_can_be_named(tmp_path: Path) -> None:
    path = write_ini(
        tmp_path,
        {("server", "root_url"): "%(protocol)s://%(domain)s:%(http_port)s/", ("server", "domain"): "g.example"},
    )

    assert Ini(path, {}).text("server", "root_url") == "https://g.example:3000/"


def test_nothing_that_is_shown_of_the_settings_holds_a_secret(tmp_path: Path) -> None:
    shown = repr(read(tmp_path))

    for secret in ("database-password", "administrators-password", "key-of-the-test", "scrapers-password"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("server", "protocol"), "http", "[server] protocol is 'http'; the fake offers https only"),
        (("server", "http_prot"), "1", "[server] http_prot is no setting of Grafana; allowed: protocol, "),
        (("server", "http_port"), "many", "[server] http_port is 'many'; it must be a whole number from 0 to 65535"),
        (("server", "cert_file"), None, "[server] cert_file is missing"),
        (("server", "cert_key"), "$__file{/not/there}", "the file /not/there cannot be read: No such file"),
        (("server", "cert_key"), "$__vault{x}", "$__vault{} is not offered"),
        (("database", "type"), None, "[database] type is 'sqlite3'; the fake offers postgres only"),
        (("database", "type"), "mysql", "[database] type is 'mysql'"),
        (("database", "ssl_mode"), "require", "[database] ssl_mode is 'require'; the fake offers verify-full only"),
        (("database", "ca_cert_path"), None, "[database] ca_cert_path is missing"),
        (("database", "host"), "db:port", "[database] host has the port 'port'; write host:port"),
        (("database", "migration_locking"), "false", "replicas would migrate at once"),
        (("database", "server_cert_name"), "other", "it must be the host, 'postgres.obs.svc'"),
        (("database", "url"), "postgres://x", "[database] url is not offered by the fake"),
        (("security", "secret_key"), "SW2YcwTIb9zpOOhoPsMm", "[security] secret_key is the published default"),
        (("security", "secret_key"), None, "[security] secret_key is missing"),
        (("security", "admin_password"), "admin", "[security] admin_password is the published default"),
        (("security", "cookie_secure"), None, "[security] cookie_secure must be true"),
        (("security", "cookie_samesite"), "never", "it must be lax, strict or none"),
        (("security", "cookie_secur"), "true", "[security] cookie_secur is no setting of Grafana"),
        (("security", "allow_embedding"), "true", "[security] allow_embedding is true; the fake does not offer it"),
        (("auth.ldap", "config"), "x", "[auth.ldap] config is no setting of Grafana"),
        (("auth.ldap", "enabled"), "maybe", "[auth.ldap] enabled is 'maybe'; it must be true or false"),
        (("unified_alerting", "enabled"), None, "[unified_alerting] enabled is true; the fake does not offer it"),
        (("auth.anonymous", "enabled"), "true", "[auth.anonymous] enabled is true"),
        (("auth", "login_maximum_lifetime_duration"), "long", "it must be a duration, for example 30m or 7d"),
        (("alerting", "enabled"), "false", "[alerting] is no section of Grafana 12.3.1"),
        (("user", "allow_sign_up"), "false", "[user] is no section of Grafana"),
        (("users", "allow_signup"), "false", "[users] allow_signup is no setting of Grafana; allowed: allow_sign_up, "),
        (("quota", "org_users"), "1", "[quota] org_users is no setting of Grafana"),
        (("plugins", "plugin_admin_enable"), "false", "[plugins] plugin_admin_enable is no setting of Grafana"),
        (("quota", "org_user"), "5k", "[quota] org_user is '5k'; it must be a whole number"),
        (("smtp", "enabled"), "off.", "[smtp] enabled is 'off.'; it must be true or false"),
        (("dashboards", "min_refresh_interval"), "10", "is '10'; it must be a duration, for example 30m or 7d"),
        (("feature_toggles", "onPremToCloudMigrations"), "no way", "it must be true or false"),
        (("rendering", "server_url"), "$__file{/not/there}", "the file /not/there cannot be read"),
        (("log.console", "format"), "text", "[log.console] format is 'text'; the fake offers json only"),
    ],
)
def test_a_mistake_is_one_line_with_the_place_and_what_to_do(
    tmp_path: Path, place: tuple[str, str], value: str | None, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {place: value})

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GF_SECURITY_ADMIN_PASSWORD__FILE", "write $__file{PATH} into the ini file"),
        ("GF_USERS_ALLOW_SIGNUP", "GF_USERS_ALLOW_SIGNUP is no setting of Grafana's section [users]; allowed: "),
        ("GF_ALERTING_ENABLED", "GF_ALERTING_ENABLED is no setting of Grafana 12.3.1"),
        ("GF_SMTP_ENABLED", "[smtp] enabled is 'x'; it must be true or false"),
        ("GF_SERVER_HTTP_PROT", "GF_SERVER_HTTP_PROT is no setting of Grafana's section [server]"),
    ],
)
def test_a_variable_that_would_do_nothing_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, environment={name: "x"})

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("smtp.static_headers", "X-From"), "monitoring"),
        (("plugin.grafana-image-renderer", "rendering_args"), "--no-sandbox"),
        (("feature_toggles", "someFeature"), "true"),
        (("feature_toggles", "enable"), "one,two"),
        (("unified_alerting", "max_attempts"), "3"),
        (("users", "user_invite_max_lifetime_duration"), "1d12h"),
    ],
)
def test_what_grafana_takes_is_taken(tmp_path: Path, place: tuple[str, str], value: str) -> None:
    assert read(tmp_path, {place: value}).port == 3000


def test_variables_of_the_image_and_of_open_sections_are_taken(tmp_path: Path) -> None:
    environment = {"GF_PATHS_HOME": "/usr/share/grafana", "GF_FEATURE_TOGGLES_X": "true", "GF_PLUGIN_X_Y": "1"}
    assert read(tmp_path, environment=environment).port == 3000


def test_the_program_ends_with_that_line_and_no_traceback(tmp_path: Path) -> None:
    config = write_ini(tmp_path, {("database", "type"): "mysql"})

    def run(path: Path) -> tuple[int, str]:
        command = [sys.executable, "-m", "lab.fakes.grafana", "server", f"--config={path}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
        return done.returncode, done.stderr

    wrong = f"grafana-fake: {config}: [database] type is 'mysql'; the fake offers postgres only\n"
    assert run(config) == (1, wrong)
    missing = tmp_path / "not-there"
    assert run(missing) == (1, f"grafana-fake: {missing}: cannot be read: No such file or directory\n")
