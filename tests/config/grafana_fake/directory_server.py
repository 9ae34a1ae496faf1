"""A real slapd over LDAPS with the people and groups of the platform's directory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, eventually, free_port, port_is_open

BASE = "dc=example,dc=com"
SERVICE = f"cn=grafana,ou=services,{BASE}"
SERVICE_PASSWORD = "password-of-the-searching-account"
MANAGER, MANAGER_PASSWORD = f"cn=manager,{BASE}", "password-of-the-manager"
GROUPS = {
    "monitoring-viewers": ("viewer", "crowd"),
    "monitoring-editors": ("editor",),
    "monitoring-admins": ("admin-person",),
    "others": ("outsider",),
}
PEOPLE = ("viewer", "editor", "admin-person", "outsider", "crowd")


def password_of(name: str) -> str:
    """A person's password in the directory."""
    return f"password-of-{name}-42"


def person_dn(name: str) -> str:
    """A person's DN."""
    return f"uid={name},ou=people,{BASE}"


class DirectoryServer:
    """slapd, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        """Load the directory below ``folder``."""
        for tool in ("slapd", "slapadd", "ldapmodify"):
            assert shutil.which(tool, path="/usr/sbin:/usr/bin"), f"{tool} is missing: apt-get install slapd ldap-utils"
        self.port = free_port()
        self.folder = folder / "directory"
        (self.folder / "data").mkdir(parents=True)
        self.ca_file = self.folder / "ca.crt"
        write_certificates(self.folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._configuration = self.folder / "slapd.conf"
        self._configuration.write_text("\n".join(self._lines()) + "\n")
        (self.folder / "content.ldif").write_text("\n".join(_entries()))
        subprocess.run(
            ["/usr/sbin/slapadd", "-f", str(self._configuration), "-l", str(self.folder / "content.ldif")],
            check=True,
            capture_output=True,
        )

    def _lines(self) -> Iterable[str]:
        yield from (f"include /etc/ldap/schema/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
        yield "modulepath /usr/lib/ldap"
        yield "moduleload back_mdb"
        yield f"TLSCertificateFile {self.folder / 'tls.crt'}"
        yield f"TLSCertificateKeyFile {self.folder / 'tls.key'}"
        yield "disallow bind_anon"
        yield "database mdb"
        yield f'suffix "{BASE}"'
        yield f'rootdn "{MANAGER}"'
        yield f"rootpw {MANAGER_PASSWORD}"
        yield f"directory {self.folder / 'data'}"
        yield "access to attrs=userPassword by anonymous auth by * none"
        yield f'access to * by dn.exact="{SERVICE}" read by * none'

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "/usr/sbin/slapd",
                    "-f",
                    str(self._configuration),
                    "-h",
                    f"ldaps://localhost:{self.port}",
                    "-d",
                    "256",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: port_is_open(self.port), START_SECONDS, "slapd listens")

    def stop(self) -> None:
        """End it and wait."""
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None

    def change(self, *lines: str) -> None:
        """Change entries, in LDIF."""
        subprocess.run(
            [
                *("ldapmodify", "-x", "-H", f"ldaps://127.0.0.1:{self.port}", "-D", MANAGER, "-w", MANAGER_PASSWORD),
            ],
            input="\n".join(lines) + "\n",
            check=True,
            capture_output=True,
            text=True,
            env={"LDAPTLS_CACERT": str(self.ca_file), "PATH": "/usr/bin"},
        )

    def set_member(self, group: str, name: str, verb: str) -> None:
        """Put somebody into a group (``add``), or take them out (``delete``)."""
        change = ("changetype: modify", f"{verb}: member", f"member: {person_dn(name)}")
        self.change(f"dn: cn={group},ou=groups,{BASE}", *change)

    def add_person(self, name: str, group: str) -> None:
        """Add somebody who is in a group."""
        self.change(*_person(name, "changetype: add"))
        self.set_member(group, name, "add")

    def remove_person(self, name: str, group: str) -> None:
        """Take somebody out of the directory."""
        self.set_member(group, name, "delete")
        self.change(f"dn: {person_dn(name)}", "changetype: delete")


def _entries() -> Iterable[str]:
    yield from (f"dn: {BASE}", "objectClass: dcObject", "objectClass: organization", "o: Example", "dc: example", "")
    for unit in ("people", "groups", "services"):
        yield from (f"dn: ou={unit},{BASE}", "objectClass: organizationalUnit", f"ou: {unit}", "")
    yield from (f"dn: {SERVICE}", "objectClass: organizationalRole", "objectClass: simpleSecurityObject", "cn: grafana")
    yield from (f"userPassword: {SERVICE_PASSWORD}", "")
    for name in PEOPLE:
        yield from (*_person(name), "")
    for group, members in GROUPS.items():
        yield from (f"dn: cn={group},ou=groups,{BASE}", "objectClass: groupOfNames", f"cn: {group}")
        yield from (*(f"member: {person_dn(name)}" for name in (*members, "nobody")), "")


def _person(name: str, *more: str) -> tuple[str, ...]:
    return (
        f"dn: {person_dn(name)}",
        *more,
        "objectClass: inetOrgPerson",
        f"uid: {name}",
        f"cn: {name} of Example",
        f"givenName: {name.capitalize()}",
        "sn: Example",
        f"mail: {name}@example.com",
        f"userPassword: {password_of(name)}",
    )
