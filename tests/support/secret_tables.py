"""The generated tables of docs/secrets.md: ``python -m tests.support.secret_tables > docs/secrets.md``.

What an entry of a Secret holds is found by its value: every password of a recording is recognisable.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.core.platform import READS
from stacks import secrets
from tests.support import engine
from tests.support.engine import Recording

PAGE = engine.CHECKOUT / "docs" / "secrets.md"
BLOCK = re.compile(r"^<!-- stack: (?P<name>[a-z]+) -->\n.*?^<!-- /stack -->$", re.MULTILINE | re.DOTALL)
STACKS = {"prod": "", "dr": "the standby region's", "local": "OpenSearch's"}
"""Stack file -> what is said of a Secret that no earlier one has."""
HASHED, OPEN = "hashes", "no secret"
_HASH = re.compile(r"\$2[ab]\$|SCRAM-SHA-256\$")
_FAMILY = re.compile(r"(?:kafka-user|search-user|scrape|gateway|phone_keys|slack_urls)[-.]|prometheus(?=-)")
_MOST = 4
_RUN_TO_THEIR_END = "CronJob"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One Secret.

    Attributes:
        name: Its name.
        note: Where it is not in every stack: whose it is.
        readers: Workloads that mount it.
        entries: Entry -> names of the passwords in it; empty where only hashes or nothing secret is in it.
    """

    name: str
    note: str
    readers: tuple[str, ...]
    entries: Mapping[str, tuple[str, ...]]


def pods(recording: Recording) -> Iterator[tuple[str, dict[str, Any]]]:
    """Workload and specification of its pods."""
    for manifest in recording.kinds("StatefulSet", "Deployment", "DaemonSet", _RUN_TO_THEIR_END):
        spec = manifest["spec"]
        spec = spec["jobTemplate"]["spec"] if manifest["kind"] == _RUN_TO_THEIR_END else spec
        yield manifest["metadata"]["name"], spec["template"]["spec"]


def readers(recording: Recording, secret: str) -> tuple[str, ...]:
    """Workloads that mount a Secret."""
    mounted = {
        workload
        for workload, spec in pods(recording)
        if any(volume.get("secret", {}).get("secretName") == secret for volume in spec["volumes"])
    }
    return tuple(sorted(mounted))


def name_of(password: str, entry: str = "") -> str:
    """What a password of a recording is called: its resource of Pulumi, or its key in the configuration."""
    channel, _, contact = password.partition(" of ")
    if contact:
        return f"alertingSecrets.{ {'phone': 'phone_keys', 'slack': 'slack_urls'}[channel] }.{contact}"
    if password == "heartbeat":
        return "alertingSecrets.heartbeat_url"
    if password in ("mail_password", "sms_access_key_id", "sms_secret_access_key"):
        return f"alertingSecrets.{password}"
    if password in engine.OUTSIDE_SECRETS["witnessSecrets"]:
        return f"{'witnessSecrets' if entry.startswith('witness') else 'objectStorageSecrets'}.{password}"
    role, _, part = password.partition("/")
    if part in engine.role_key(role).values():
        return f"{secrets.ROLES_KEY}.{role}"
    if password in engine.CLUSTER_AUDIT_NAMES:
        return f"{secrets.CLUSTER_AUDIT_KEY}.{password}"
    key = next((key for key, names in engine.OUTSIDE_SECRETS.items() if password in names), "")
    return f"{key}.{password}" if key else password


def passwords(recording: Recording) -> list[str]:
    """Names of everything secret that a stack has."""
    names = {name_of(password, entry) for password in recording.passwords for entry in ("", "witness")}
    return sorted(names)


def held(recording: Recording, entry: str, text: str) -> tuple[str, ...]:
    """Names of the passwords in a text, or in the value of a header of Basic auth."""
    scheme, _, value = text.partition(" ")
    text = base64.b64decode(value).decode() if scheme == "Basic" else text
    found_names = {name_of(name, entry) for name, password in recording.passwords.items() if password in text}
    return tuple(sorted(found_names))


def kept(text: str) -> str:
    """What a text without a password is."""
    return HASHED if _HASH.search(text) else OPEN


@functools.cache
def rows() -> tuple[Row, ...]:
    """Every Secret that the program makes, by name."""
    known: dict[str, Row] = {}
    for stack, note in STACKS.items():
        recording = engine.recorded(stack)
        for manifest in recording.kinds("Secret"):
            name = manifest["metadata"]["name"]
            entries = {
                entry: held(recording, entry, text) or (kept(text),) for entry, text in manifest["stringData"].items()
            }
            known.setdefault(name, Row(name=name, note=note, readers=readers(recording, name), entries=entries))
    return tuple(known[name] for name in sorted(known))


def code(names: Iterable[str]) -> str:
    """Names as code, those of a large family as one pattern."""
    families: dict[str, list[str]] = {}
    for name in names:
        family = _FAMILY.search(name)
        families.setdefault(name[: family.end()] if family else name, []).append(name)
    parts = [
        [f"`{family}*` ({len(members)})"] if len(members) > _MOST else [f"`{name}`" for name in members]
        for family, members in families.items()
    ]
    return ", ".join(part for group in parts for part in group)


def entries_cell(row: Row) -> str:
    """Entries of a Secret and what is in them, what holds the same together."""
    same: dict[tuple[str, ...], list[str]] = {}
    scraped = [entry for entry, names in row.entries.items() if names == (f"scrape-{entry}",)]
    for entry, names in sorted(row.entries.items()):
        if entry not in scraped:
            same.setdefault(names, []).append(entry)
    parts = [
        f"{code(entries)}: {names[0] if names[0] in (HASHED, OPEN) else code(names)}"
        for names, entries in sorted(same.items(), key=lambda item: (item[0][0] == OPEN, item[1]))
    ]
    if scraped:
        parts.insert(0, f"the name of each of {len(scraped)} jobs: `scrape-*`")
    return "; ".join(parts)


def secrets_table() -> str:
    """Every Secret: who mounts it, what is in it."""
    lines = ["| Secret | mounted by | entry: what is in it |", "|---|---|---|"]
    for row in rows():
        note = f" ({row.note})" if row.note else ""
        lines.append(f"| `{row.name}`{note} | {code(row.readers) or 'no pod'} | {entries_cell(row)} |")
    return "\n".join(lines)


def certificates_table() -> str:
    """Every Secret that cert-manager fills, and who mounts it."""
    lines = ["| Secret | mounted by |", "|---|---|"]
    own: list[str] = []
    others: list[str] = []
    known: dict[str, tuple[str, ...]] = {}
    for stack, note in STACKS.items():
        recording = engine.recorded(stack)
        for manifest in recording.kinds("Certificate"):
            secret = manifest["spec"]["secretName"]
            if secret in known:
                continue
            known[secret] = mounting = readers(recording, secret)
            if mounting == (secret.removesuffix("-tls"),) and not note:
                own.append(secret.removesuffix("-tls"))
            else:
                said = f" ({note})" if note else ""
                others.append(f"| `{secret}`{said} | {code(mounting) or 'no pod'} |")
    listed = ", ".join(f"`{workload}`" for workload in sorted(own))
    return "\n".join([*lines, f"| `WORKLOAD-tls` | the workload of that name: {listed} |", *sorted(others)])


def outputs_table() -> str:
    """Every output of the stack with something secret in it, and the commands that read it."""
    inside = {stack: dict(secret_outputs(engine.recorded(stack))) for stack in STACKS}
    names = {name for stack in STACKS for name, passwords_in_it in inside[stack].items() if passwords_in_it}
    lines = ["| output | what is in it | commands |", "|---|---|---|"]
    for name in sorted(names):
        what = next(filter(None, (inside[stack].get(name) for stack in STACKS)))
        commands = ", ".join(f"`{command}`" for command, outputs in READS.items() if name in outputs)
        lines.append(f"| `{name}` | {code(what)} | {commands or 'none'} |")
    return "\n".join(lines)


def secret_outputs(recording: Recording) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each output of a stack, and the names of the passwords in it."""
    for name, value in recording.outputs.items():
        yield name, held(recording, "witness" if name == "regions" else "", "\n".join(engine.texts(value)))


TABLES = {"certificates": certificates_table, "outputs": outputs_table, "secrets": secrets_table}


def text() -> str:
    """The whole page with its tables made anew."""

    def filled(block: re.Match[str]) -> str:
        name = block["name"]
        return f"<!-- stack: {name} -->\n\n{TABLES[name]()}\n\n<!-- /stack -->"

    return BLOCK.sub(filled, PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    print(text(), end="")
