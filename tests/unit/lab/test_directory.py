"""The directory: a real slapd over LDAPS, as the lab's daemon runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ldap3 import BASE as THE_ENTRY_ALONE
from ldap3 import MODIFY_REPLACE, Connection
from ldap3.core import exceptions

from lab import LabError, directory, key_files
from lab.cluster.network import Daemon, start_time
from lab.directory import MEMBERS, PEOPLE, Secrets, connected, logged_in
from lab.paths import LabPaths
from tests.unit.lab.external_services_harness import loopback_lab, started

EVERYTHING = "(objectClass=*)"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabPaths]:
    with loopback_lab(directory) as (paths, _):
        directory.prepare(paths)
        with started(directory.daemon(paths)):
            directory.wait_ready(paths)
            yield paths


def authority(lab: LabPaths) -> Path:
    return directory.folder(lab) / "pki" / "ca.crt"


def login(lab: LabPaths, name: str, password: str) -> AbstractContextManager[Connection]:
    return logged_in(directory.URL, authority(lab), name, password)


def service(lab: LabPaths) -> AbstractContextManager[Connection]:
    return login(lab, directory.SERVICE, directory.directory_secrets(lab)["bind_password"])


def directory_entries(searching: Connection, base: str, wanted: str) -> dict[str, dict[str, Any]]:
    """Entries by name."""
    searching.search(base, wanted, attributes=["*"])
    return {entry["dn"]: dict(entry["attributes"]) for entry in searching.response}


@pytest.mark.parametrize("person", PEOPLE)
def test_each_person_logs_in_with_his_own_password_alone(lab: LabPaths, person: str) -> None:
    passwords = directory.people(lab)
    with (
        login(lab, directory.name_of(person), passwords[person]) as his,
        pytest.raises(exceptions.LDAPNoSuchObjectResult),
    ):
        directory_entries(his, directory.BASE, EVERYTHING)
    for other in set(passwords.values()) - {passwords[person]}:
        with pytest.raises(exceptions.LDAPInvalidCredentialsResult), login(lab, directory.name_of(person), other):
            pass


def test_nobody_can_log_in_without_a_name_or_a_password(lab: LabPaths) -> None:
    with connected(directory.URL, authority(lab)) as anonymous:
        for base in (directory.BASE, ""):
            with pytest.raises(exceptions.LDAPUnwillingToPerformResult, match="authentication required"):
                anonymous.search(base, EVERYTHING, search_scope=THE_ENTRY_ALONE)
        with pytest.raises(exceptions.LDAPInappropriateAuthenticationResult, match="anonymous bind disallowed"):
            anonymous.bind()


def test_the_service_account_finds_people_and_their_groups(lab: LabPaths) -> None:
    with service(lab) as searching:
        editor = directory_entries(searching, directory.BASE, "(uid=editor)")[directory.name_of("editor")]
        assert (editor["mail"], editor["displayName"]) == (["editor@example.com"], ["次郎 編集"])
        for group, members in MEMBERS.items():
            for person in members:
                groups = directory_entries(searching, directory.GROUPS, f"(member={directory.name_of(person)})")
                assert list(groups) == [f"cn={group},{directory.GROUPS}"]
        assert directory_entries(searching, directory.GROUPS, f"(member={directory.name_of('outsider')})") == {}


def test_the_service_account_reads_no_password_not_even_by_a_filter_and_no_other_service(lab: LabPaths) -> None:
    with service(lab) as searching:
        everything = directory_entries(searching, directory.BASE, EVERYTHING)
        assert set(map(directory.name_of, PEOPLE)) < set(everything)
        assert all("userPassword" not in values for values in everything.values())
        assert directory_entries(searching, directory.BASE, "(userPassword=*)") == {}
        assert directory.SERVICE not in everything


def test_nobody_writes(lab: LabPaths) -> None:
    change = {"mail": [(MODIFY_REPLACE, ["other@example.com"])]}
    logins = [service(lab), login(lab, directory.name_of("editor"), directory.people(lab)["editor"])]
    for login_of in logins:
        with login_of as writing, pytest.raises(exceptions.LDAPOperationResult) as raised:
            writing.modify(directory.name_of("editor"), change)
        assert raised.value.description in ("unwillingToPerform", "insufficientAccessRights")


def test_an_authority_of_somebody_else_does_not_open_a_connection(lab: LabPaths, tmp_path: Path) -> None:
    key_files.create_authority(tmp_path / "other")
    with (
        pytest.raises(exceptions.LDAPSocketOpenError, match="certificate verify failed"),
        connected(directory.URL, tmp_path / "other" / "ca.crt"),
    ):
        pass


def test_it_runs_as_a_user_of_its_own_and_tells_no_password(lab: LabPaths) -> None:
    process = directory.daemon(lab)
    pid = process.pid()
    assert pid is not None
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    secrets = key_files.load(Secrets, directory.folder(lab) / "secrets.json", "the directory").all()
    shown = process.log.read_text() + Path(f"/proc/{pid}/cmdline").read_text()
    kept = b"".join(file.read_bytes() for file in (directory.folder(lab) / "data").iterdir())
    assert "BIND" in shown
    assert not [secret for secret in secrets if secret in shown or secret.encode() in kept]


def test_files_are_made_once_and_the_process_goes_on(lab: LabPaths) -> None:
    process = directory.daemon(lab)
    pid, before = process.pid(), directory.people(lab)
    directory.prepare(lab)
    assert (process.pid(), directory.people(lab)) == (pid, before)
    assert directory.directory_secrets(lab)["authority"] == (lab.state / "receivers" / "pki" / "ca.crt").read_text()
    assert (directory.folder(lab) / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_other_passwords_are_loaded_anew_and_the_process_ends() -> None:
    with loopback_lab(directory) as (paths, _):
        directory.prepare(paths)
        with started(directory.daemon(paths)) as process:
            directory.wait_ready(paths)
            pid = process.pid()
            assert pid is not None
            (directory.folder(paths) / "secrets.json").unlink()
            directory.prepare(paths)
            assert start_time(pid) is None
            process.start()
            directory.wait_ready(paths)
            with login(paths, directory.name_of("viewer"), directory.people(paths)["viewer"]) as viewer:
                assert viewer.bound


def test_a_folder_that_its_user_cannot_enter_is_told_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    key_files.create(tmp_path / "pki", "127.0.0.1")
    with pytest.raises(LabError, match=r"slapadd in .* failed \(user openldap must be able to enter that folder\)"):
        directory.load(tmp_path, Secrets())


def test_a_directory_that_ends_at_once_is_told_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_lab(directory) as (paths, _):
        directory.prepare(paths)
        ending = Daemon("directory", [sys.executable, "-c", "print('no such address')"], paths.state)
        monkeypatch.setattr(directory, "daemon", lambda _: ending)
        with started(ending), pytest.raises(LabError, match=r"directory ended; log .*directory\.log:\nno such address"):
            directory.wait_ready(paths)


def test_ldif_holds_any_text() -> None:
    text = directory.ldif([directory.Entry(name="cn=花子", values={"description": [" a\nb: c", "x" * 200]})])
    assert text.splitlines()[0] == "dn:: Y2496Iqx5a2Q"
    assert all(line.partition(":: ")[2].isascii() and " " not in line.partition(":: ")[2] for line in text.splitlines())


def test_without_a_lab_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    for ask in (directory.directory_secrets, directory.people, directory.wait_ready):
        with pytest.raises(LabError, match=r"secrets of the directory: .* run `make up`"):
            ask(LabPaths("x"))
