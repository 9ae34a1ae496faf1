"""A directory outside the platform: OpenLDAP's slapd, over LDAPS only, with the people who log in to Grafana.

What it holds and how slapd serves it is data and LDIF. Its passwords are made once for a lab and kept in one file that
its owner alone can read.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import pwd
import secrets
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
from ldap3 import NONE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException

from lab import LabError, key_files
from lab.cluster import network
from lab.cluster.network import DIRECTORY_PORT, RECEIVERS, Daemon, wait_until
from lab.fakes.receivers import settings as receivers
from lab.key_files import AUTHORITY, CERTIFICATE, KEY
from lab.paths import LabPaths
from ops.core.files import write_private

MEMBERS = {
    "monitoring-viewers": ("viewer",),
    "monitoring-editors": ("editor",),
    "monitoring-admins": ("admin-person",),
}
"""Group -> people in it. ``outsider`` is in none."""
PEOPLE = (*(name for members in MEMBERS.values() for name in members), "outsider")
URL = f"ldaps://{RECEIVERS}:{DIRECTORY_PORT}"
BASE = "dc=example,dc=com"
_PEOPLE_UNIT = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
SERVICES = f"ou=services,{BASE}"
SERVICE = f"cn=grafana,{SERVICES}"
"""The account that may search people and groups, and nothing else."""
CERTIFICATES, SECRETS, CONFIG, DATA, MADE_FROM = "pki", "secrets.json", "config.d", "data", "made-from"
CREDENTIALS = "test-accounts.json"
"""Names below `folder`."""
CALL_LIMIT_S = 5


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything that opens the directory.

    Attributes:
        people: Person -> password.
        bind_password: Of the service account.
    """

    people: dict[str, str] = field(default_factory=lambda: {name: _password() for name in PEOPLE})
    bind_password: str = field(default_factory=_password)

    def all(self) -> list[str]:
        """Every secret text, for those who must not show any."""
        return [*self.people.values(), self.bind_password]


def folder(paths: LabPaths) -> Path:
    """Folder of the directory in a lab's state."""
    return paths.state / "directory"


def credentials(paths: LabPaths) -> Path:
    """File with one person of each role, and their passwords, for checks."""
    return folder(paths) / CREDENTIALS


def name_of(person: str) -> str:
    """Distinguished name of a person."""
    return f"uid={person},{_PEOPLE_UNIT}"


_SCHEMAS = tuple(Path("/etc/ldap/schema") / f"{name}.ldif" for name in ("core", "cosine", "inetorgperson"))


_MODULES = "/usr/lib/ldap"


_DATABASE_BYTES = 64 * 1024**2


_ROUNDS = 5
"""Of bcrypt: the passwords are 24 random bytes, so that more would only make logins slow."""


_FULL_NAMES = {
    "viewer": ("Vera", "Viewer"),
    "editor": ("次郎", "編集"),
    "admin-person": ("花子", "管理"),
    "outsider": ("Otto", "Outsider"),
}
"""Person -> given name, family name."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: its distinguished name, and attribute -> values."""

    name: str
    values: Mapping[str, Sequence[str]]


def ldif(entries: Iterable[Entry | Path]) -> str:
    """Entries as LDIF; a path is a file with more of them. Values are base64, which holds any text."""
    lines: list[str] = []
    for entry in entries:
        if isinstance(entry, Path):
            lines += [f"include: {entry.as_uri()}", ""]
            continue
        pairs = [("dn", entry.name), *((key, value) for key, values in entry.values.items() for value in values)]
        lines += [f"{key}:: {base64.b64encode(value.encode()).decode()}" for key, value in pairs]
        lines.append("")
    return "\n".join(lines)


def hashed(password: str) -> str:
    """A password as the directory keeps it."""
    return "{CRYPT}" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(_ROUNDS)).decode()


def people_and_groups(secrets: Secrets, kept: Callable[[str], str] = hashed) -> list[Entry]:
    """What the directory holds.

    Args:
        secrets: Passwords.
        kept: What is kept of a password.
    """
    units = [(_PEOPLE_UNIT, "people"), (GROUPS, "groups"), (SERVICES, "services")]
    return [
        Entry(name=BASE, values={"objectClass": ["dcObject", "organization"], "dc": ["example"], "o": ["example"]}),
        *(Entry(name=name, values={"objectClass": ["organizationalUnit"], "ou": [unit]}) for name, unit in units),
        Entry(
            name=SERVICE,
            values={
                "objectClass": ["organizationalRole", "simpleSecurityObject"],
                "cn": ["grafana"],
                "userPassword": [kept(secrets.bind_password)],
            },
        ),
        *(_person(name, kept(password)) for name, password in secrets.people.items()),
        *(_group(name, members) for name, members in MEMBERS.items()),
    ]


def _person(name: str, password: str) -> Entry:
    given, family = _FULL_NAMES[name]
    return Entry(
        name=name_of(name),
        values={
            "objectClass": ["inetOrgPerson"],
            "uid": [name],
            "cn": [f"{given} {family}"],
            "givenName": [given],
            "sn": [family],
            "displayName": [f"{given} {family}"],
            "mail": [f"{name}@example.com"],
            "userPassword": [password],
        },
    )


def _group(name: str, members: Sequence[str]) -> Entry:
    values = {"objectClass": ["groupOfNames"], "cn": [name], "member": [name_of(member) for member in members]}
    return Entry(name=f"cn={name},{GROUPS}", values=values)


def configuration(certificates: Path, data: Path) -> list[Entry | Path]:
    """How slapd serves it: over TLS alone, to nobody without a name, and nobody may write.

    Args:
        certificates: Folder of the server's certificate, key and authority.
        data: Folder of the database.
    """
    return [
        Entry(
            name="cn=config",
            values={
                "objectClass": ["olcGlobal"],
                "cn": ["config"],
                "olcDisallows": ["bind_anon"],
                "olcRequires": ["authc"],
                "olcSecurity": ["ssf=128"],
                "olcReadOnly": ["TRUE"],
                "olcTLSCACertificateFile": [str(certificates / AUTHORITY)],
                "olcTLSCertificateFile": [str(certificates / CERTIFICATE)],
                "olcTLSCertificateKeyFile": [str(certificates / KEY)],
                "olcTLSProtocolMin": ["3.3"],
                "olcTLSVerifyClient": ["never"],
            },
        ),
        Entry(
            name="cn=module{0},cn=config",
            values={
                "objectClass": ["olcModuleList"],
                "cn": ["module{0}"],
                "olcModulePath": [_MODULES],
                "olcModuleLoad": ["back_mdb"],
            },
        ),
        Entry(name="cn=schema,cn=config", values={"objectClass": ["olcSchemaConfig"], "cn": ["schema"]}),
        *_SCHEMAS,
        _database("{-1}frontend", ["olcFrontendConfig"], ['{0}to dn.base="" by users read', "{1}to * by * none"]),
        _database("{0}config", [], ["{0}to * by * none"]),
        _database(
            "{1}mdb",
            ["olcMdbConfig"],
            [
                "{0}to attrs=userPassword by anonymous auth by * none",
                *(
                    f'{{{number}}}to dn.subtree="{part}" by dn.exact="{SERVICE}" read by * none'
                    for number, part in ((1, _PEOPLE_UNIT), (2, GROUPS))
                ),
                f'{{3}}to * by dn.exact="{SERVICE}" search by * none',
            ],
            olcSuffix=[BASE],
            olcDbDirectory=[str(data)],
            olcDbMaxSize=[str(_DATABASE_BYTES)],
            olcDbIndex=["objectClass eq", "uid eq", "cn eq", "member eq"],
        ),
    ]


def _database(name: str, classes: list[str], access: list[str], **more: list[str]) -> Entry:
    values = {"objectClass": ["olcDatabaseConfig", *classes], "olcDatabase": [name], "olcAccess": access, **more}
    return Entry(name=f"olcDatabase={name},cn=config", values=values)


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
    key_files.create_authority(authority)
    place.mkdir(parents=True, exist_ok=True, mode=0o711)
    key_files.issue(authority, place / CERTIFICATES, "directory", RECEIVERS)
    secrets = key_files.load_or_make(Secrets, place / SECRETS, "the directory")
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
    _slapadd(place, "0", ldif(configuration(place / CERTIFICATES, place / DATA)))
    _slapadd(place, "1", ldif(people_and_groups(secrets)))


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
    entries = [*configuration(place / CERTIFICATES, place / DATA), *people_and_groups(secrets, str)]
    text = " ".join(command(place, URL)) + ldif(entries) + (place / CERTIFICATES / key_files.CERTIFICATE).read_text()
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
            logged_in(URL, place / CERTIFICATES / key_files.AUTHORITY, SERVICE, password),
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
        "authority": (folder(paths) / CERTIFICATES / key_files.AUTHORITY).read_text(),
    }


def people(paths: LabPaths) -> dict[str, str]:
    """People of the directory -> password, for tests inside the lab.

    Raises:
        LabError: The directory's files are not there: no lab.
    """
    return dict(_secrets(paths).people)


def _secrets(paths: LabPaths) -> Secrets:
    return key_files.load(Secrets, folder(paths) / SECRETS, "the directory")
