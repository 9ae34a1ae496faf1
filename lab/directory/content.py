"""Where the directory is in the lab, what it holds and how slapd serves it, as data and as LDIF."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from lab.cluster.network import DIRECTORY_PORT, RECEIVERS
from lab.directory.keys import MEMBERS, Secrets
from lab.fakes.receivers.certificates import AUTHORITY, CERTIFICATE, KEY
from lab.paths import LabPaths

URL = f"ldaps://{RECEIVERS}:{DIRECTORY_PORT}"
BASE = "dc=example,dc=com"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
SERVICES = f"ou=services,{BASE}"
SERVICE = f"cn=grafana,{SERVICES}"
"""The account that may search people and groups, and nothing else."""
CERTIFICATES, SECRETS, CONFIG, DATA, MADE_FROM = "pki", "secrets.json", "config.d", "data", "made-from"
CREDENTIALS = "test-accounts.json"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the directory in a lab's state."""
    return paths.state / "directory"


def credentials(paths: LabPaths) -> Path:
    """File with one person of each role, and their passwords, for checks."""
    return folder(paths) / CREDENTIALS


def name_of(person: str) -> str:
    """Distinguished name of a person."""
    return f"uid={person},{PEOPLE}"


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
    units = [(PEOPLE, "people"), (GROUPS, "groups"), (SERVICES, "services")]
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
                    for number, part in ((1, PEOPLE), (2, GROUPS))
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
