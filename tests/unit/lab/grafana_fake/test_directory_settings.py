"""ldap.toml: what is read, and what is refused because it is not safe or not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.fakes.grafana.directory import Directories, DirectorySettings, GroupMapping, WrongPasswordError, load, role_of
from lab.fakes.grafana.settings import SettingsError

SERVER: dict[str, Any] = {
    "host": '"ldap-1.example ldap-2.example"',
    "port": "8636",
    "use_ssl": "true",
    "root_ca_cert": '"/etc/directory/ca.crt"',
    "bind_dn": '"cn=grafana,ou=services,dc=example,dc=com"',
    "bind_password": '"$__file{PLACE/secret}"',
    "search_filter": '"(uid=%s)"',
    "search_base_dns": '["ou=people,dc=example,dc=com"]',
    "group_search_filter": '"(member=%s)"',
    "group_search_base_dns": '["ou=groups,dc=example,dc=com"]',
    "attributes": '{ username = "uid", email = "mail" }',
    "group_mappings": '[{ group_dn = "cn=a,dc=example", org_role = "Admin", grafana_admin = true }, '
    '{ group_dn = "*", org_role = "Viewer" }]',
}


def read(folder: Path, change: dict[str, str | None] | None = None) -> tuple[DirectorySettings, ...]:
    """The settings with some keys changed, and those without a value left out."""
    (folder / "secret").write_text("searching-password\n")
    lines = [f"{key} = {value}" for key, value in (SERVER | (change or {})).items() if value is not None]
    path = folder / "ldap.toml"
    path.write_text("[[servers]]\n" + "\n".join(lines).replace("PLACE", str(folder)) + "\n")
    return load(path, {})


def test_a_directory_is_read_with_its_secret_from_a_file(tmp_path: Path) -> None:
    (directory_settings,) = read(tmp_path)

    assert (directory_settings.hosts, directory_settings.port, directory_settings.timeout_s) == (
        ("ldap-1.example", "ldap-2.example"),
        8636,
        10,
    )
    assert directory_settings.bind_password == "searching-password"
    assert "searching-password" not in repr(directory_settings)
    assert directory_settings.attributes == {"username": "uid", "email": "mail", "member_of": "memberOf"}
    assert directory_settings.mappings == (
        GroupMapping(group_dn="cn=a,dc=example", role="Admin", server_admin=True),
        GroupMapping(group_dn="*", role="Viewer", server_admin=False),
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("use_ssl", "false", "use_ssl must be true"),
        ("start_tls", "true", "use_ssl must be true, without start_tls"),
        ("ssl_skip_verify", "true", "ssl_skip_verify must be false"),
        ("root_ca_cert", None, "root_ca_cert is missing"),
        ("bind_password", None, "bind_password is missing"),
        ("bind_password", '"$__file{/not/there}"', "the file /not/there cannot be read"),
        ("search_filter", '"(uid=x)"', "search_filter must hold %s"),
        ("search_base_dns", "[]", "search_base_dns must be a list of texts that is not empty"),
        ("group_mappings", None, "group_mappings is missing; without one everybody in the directory comes in"),
        ("group_mappings", '[{ group_dn = "*", org_role = "Boss" }]', "allowed: Viewer, Editor, Admin"),
        ("group_mappings", '[{ group_dn = "*", org_role = "Viewer", org_id = 2 }]', "organization 1 only"),
        ("group_mapping", "[]", "group_mapping is no setting of Grafana"),
        ("attributes", '{ mail = "mail" }', "mail is no setting of Grafana; allowed: name, surname"),
        ("port", '"636"', "it must be a whole number from 1 to 65535"),
        ("client_cert", '"/x"', "client_cert is not offered by the fake"),
    ],
)
def test_what_is_unsafe_or_unknown_is_refused(tmp_path: Path, key: str, value: str | None, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, {key: value})

    assert said in str(caught.value)
    assert "searching-password" not in str(caught.value)


def test_the_first_mapping_that_fits_gives_the_role(tmp_path: Path) -> None:
    mappings = (
        GroupMapping(group_dn="CN=Admins, OU=groups,DC=example", role="Admin", server_admin=False),
        GroupMapping(group_dn="cn=viewers,ou=groups,dc=example", role="Viewer", server_admin=False),
    )

    both = ["cn=viewers,ou=groups,dc=example", "cn=admins,ou=groups,dc=example"]
    assert role_of(both, mappings) == mappings[0]
    assert role_of(both[:1], mappings) == mappings[1]
    assert role_of(["cn=others,ou=groups,dc=example"], mappings) is None
    assert role_of([], (*mappings, GroupMapping(group_dn="*", role="Viewer", server_admin=False))) is not None


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("x", "")])
def test_an_empty_name_or_password_is_refused_before_the_directory_is_asked(name: str, password: str) -> None:
    with pytest.raises(WrongPasswordError):
        Directories(()).login(name, password)
