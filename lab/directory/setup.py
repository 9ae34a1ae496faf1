"""The directory as a part of the lab: its files, its process, and the secrets that the stack gets from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pwd
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ldap3 import NONE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException

from lab import private_file
from lab.cluster import network
from lab.cluster.network import RECEIVERS, Daemon, wait_until
from lab.directory import content
from lab.directory.content import CERTIFICATES, CONFIG, DATA, MADE_FROM, SECRETS, SERVICE, URL, credentials, folder
from lab.directory.keys import Secrets
from lab.errors import LabError
from lab.fakes.receivers import certificates
from lab.fakes.receivers import settings as receivers
from lab.paths import LabPaths
from lab.private_file import write_private

CALL_LIMIT_S = 5


@contextmanager
def connected(url: str, authority: Path) -> Iterator[Connection]:
    """A connection on which nobody has logged in yet, until the block ends.

    Args:
        url: ``ldaps://host:port``.
        authority: File of who signs the directory's certificate.

    Raises:
        ldap3.core.exceptions.LDAPException: Nobody answers there, or somebody else.
    """
    tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(authority))
    server = Server(url, tls=tls, get_info=NONE, connect_timeout=CALL_LIMIT_S)
    connection = Connection(server, receive_timeout=CALL_LIMIT_S, raise_exceptions=True)
    try:
        connection.open()
        yield connection
    finally:
        if connection.closed and connection.socket is not None:
            connection.socket.close()
        connection.unbind()


@contextmanager
def logged_in(url: str, authority: Path, name: str, password: str) -> Iterator[Connection]:
    """A connection of who has the distinguished name and the password, until the block ends.

    Raises:
        ldap3.core.exceptions.LDAPException: As `connected`; or the password is another.
    """
    with connected(url, authority) as connection:
        connection.rebind(user=name, password=password)
        yield connection


ACCOUNT = "openldap"
"""User and group that Debian's package makes for slapd."""
_LOAD_LIMIT_S = 60
_READY_LIMIT_S = 30
_OPEN_FILES = 1024
"""slapd keeps room for as many connections as it may have files open, which can be a million."""


def command(place: Path, url: str) -> list[str]:
    """slapd in the foreground, as its own user; connections and operations go to its log, passwords do not."""
    return [
        "prlimit",
        f"--nofile={_OPEN_FILES}:{_OPEN_FILES}",
        "/usr/sbin/slapd",
        *("-F", str(place / CONFIG), "-h", f"{url}/", "-u", ACCOUNT, "-g", ACCOUNT, "-d", "stats"),
    ]


def daemon(paths: LabPaths) -> Daemon:
    """The process, inside the lab's network namespace."""
    return Daemon("directory", [*network.enter(paths.netns), *command(folder(paths), URL)], paths.state)


def prepare(paths: LabPaths) -> None:
    """Make the files that are missing; where others are wanted than there are, end the process and load them anew.

    Raises:
        LabError: slapd is not there, its user cannot reach the files, or it refuses what it is given.
    """
    place, authority = folder(paths), receivers.folder(paths) / receivers.CERTIFICATES
    certificates.create_authority(authority)
    place.mkdir(parents=True, exist_ok=True, mode=0o711)
    certificates.issue(authority, place / CERTIFICATES, "directory", RECEIVERS)
    secrets = private_file.load_or_make(Secrets, place / SECRETS, "the directory")
    by_role = {
        person.removesuffix("-person"): {"username": person, "password": secret}
        for person, secret in secrets.people.items()
    }
    write_private(credentials(paths), json.dumps(by_role, indent=1).encode() + b"\n")
    wanted, mark = _digest(place, secrets), place / MADE_FROM
    if mark.exists() and mark.read_text() == wanted:
        return
    daemon(paths).stop()
    mark.unlink(missing_ok=True)
    load(place, secrets)
    write_private(mark, wanted.encode())


def load(place: Path, secrets: Secrets) -> None:
    """Write configuration and data of slapd, as its own user; what was there before is gone.

    Args:
        place: Folder with the certificates.
        secrets: Passwords.

    Raises:
        LabError: See `prepare`.
    """
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise LabError(f"user {ACCOUNT} is not there: install the Debian package slapd, then repeat") from None
    for name in (CONFIG, DATA):
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir(mode=0o700)
    for name in (CONFIG, DATA, CERTIFICATES):
        for path in (place / name, *(place / name).iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    _slapadd(place, "0", content.ldif(content.configuration(place / CERTIFICATES, place / DATA)))
    _slapadd(place, "1", content.ldif(content.people_and_groups(secrets)))


def _slapadd(place: Path, database: str, text: str) -> None:
    done = subprocess.run(
        ["/usr/sbin/slapadd", "-F", str(place / CONFIG), "-n", database],
        input=text,
        capture_output=True,
        text=True,
        timeout=_LOAD_LIMIT_S,
        user=ACCOUNT,
        group=ACCOUNT,
        extra_groups=(),
        cwd="/",
    )
    if done.returncode:
        reason = done.stderr.strip()[-300:] or f"exit code {done.returncode}"
        raise LabError(f"slapadd in {place} failed (user {ACCOUNT} must be able to enter that folder): {reason}")


def _digest(place: Path, secrets: Secrets) -> str:
    """What configuration and data are made from; the hash of a password differs each time, so passwords stand here."""
    entries = [*content.configuration(place / CERTIFICATES, place / DATA), *content.people_and_groups(secrets, str)]
    text = (
        " ".join(command(place, URL))
        + content.ldif(entries)
        + (place / CERTIFICATES / certificates.CERTIFICATE).read_text()
    )
    return hashlib.sha256(text.encode()).hexdigest()


def wait_ready(paths: LabPaths) -> None:
    """Wait until the service account can log in; works inside the lab's network namespace.

    Raises:
        LabError: The directory ended, or does not answer in time; the message carries the end of its log.
    """
    process, place = daemon(paths), folder(paths)
    password = _secrets(paths).bind_password

    def alive_and_answering() -> bool:
        if process.pid() is None:
            raise LabError(f"directory ended; log {process.log}:\n{process.tail()}")
        with (
            contextlib.suppress(LDAPException),
            logged_in(URL, place / CERTIFICATES / certificates.AUTHORITY, SERVICE, password),
        ):
            return True
        return False

    wait_until(f"the directory to answer (log {process.log})", alive_and_answering, timeout_s=_READY_LIMIT_S)


def directory_secrets(paths: LabPaths) -> dict[str, Any]:
    """What the stack needs to search the directory: the value of the secret ``observability:directorySecrets``.

    Raises:
        LabError: The directory's files are not there: no lab.
    """
    return {
        "bind_password": _secrets(paths).bind_password,
        "authority": (folder(paths) / CERTIFICATES / certificates.AUTHORITY).read_text(),
    }


def people(paths: LabPaths) -> dict[str, str]:
    """People of the directory -> password, for tests inside the lab.

    Raises:
        LabError: The directory's files are not there: no lab.
    """
    return dict(_secrets(paths).people)


def _secrets(paths: LabPaths) -> Secrets:
    return private_file.load(Secrets, folder(paths) / SECRETS, "the directory")
