"""Who may do what in PostgreSQL, in the search cluster and in object storages, from the files that they read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.permissions.model import DatabaseRole, SearchGrant, SearchUser, StorageAccess
from policy.documents import Format, files, parse
from policy.model import Resource
from policy.rules._formats import hba, is_hba
from policy.rules._servers import Container, all_containers

_GRANT = re.compile(r"^GRANT (?P<what>.+) TO (?P<roles>[a-z_, ]+);$", re.M)


def _files(resources: Sequence[Resource]) -> Iterator[tuple[Resource, str, str]]:
    for resource in resources:
        if resource.kubernetes:
            for name, text in files(resource):
                yield resource, name, text


def database_roles(resources: Sequence[Resource]) -> Iterator[DatabaseRole]:
    """Roles of the platform's own PostgreSQL: ``access.json``, ``access.sql`` and ``pg_hba.conf``."""
    connects: dict[str, list[tuple[str, str]]] = {}
    granted: dict[str, list[str]] = {}
    access: list[Mapping[str, Any]] = []
    for _, name, text in _files(resources):
        if name.endswith(".conf") and is_hba(text):
            for line in hba(text):
                # Only what comes over the network and is not refused; `replication` is no database.
                if line.type != "local" and line.method != "reject":
                    _, database, user, address, *_ = line.text.split()
                    connects.setdefault(user, []).append((database, address))
        elif name.endswith(".sql"):
            for grant in _GRANT.finditer(text):
                for role in grant["roles"].split(","):
                    granted.setdefault(role.strip(), []).append(" ".join(grant["what"].split()))
        elif name == "access.json" and "verifier" in text:
            access.append(json.loads(text))
    for content in access:
        for role in sorted(content["roles"], key=lambda role: str(role["name"])):
            yield DatabaseRole(
                name=role["name"],
                verifier=role["verifier"],
                replication=bool(role.get("replication")),
                owns=tuple(base["name"] for base in content["databases"] if base["owner"] == role["name"]),
                connects=tuple(connects.get(role["name"], ())),
                granted=tuple(granted.get(role["name"], ())),
            )


def search_users(resources: Sequence[Resource]) -> Iterator[SearchUser]:
    """Users of the search cluster, in either engine's form."""
    for resource in resources:
        if resource.kind != "Secret":
            continue
        content = dict(files(resource))
        if "roles.yml" not in content:
            continue
        roles = parse("roles.yml", content["roles.yml"])[1]
        if "users_roles" in content:
            hashes = dict(line.split(":", 1) for line in content["users"].splitlines())
            holders = dict(line.split(":", 1) for line in content["users_roles"].splitlines())
            of_user = {user: [role for role, users in holders.items() if user in users.split(",")] for user in hashes}
        else:
            internal = parse("users.yml", content["internal_users.yml"])[1]
            hashes = {name: entry["hash"] for name, entry in internal.items() if name != "_meta"}
            mapping = parse("mapping.yml", content["roles_mapping.yml"])[1]
            of_user = {
                user: [role for role, entry in mapping.items() if role != "_meta" and user in entry["users"]]
                for user in hashes
            }
        for user in sorted(hashes):
            held = [roles[role] for role in of_user[user]]
            yield SearchUser(
                name=user,
                verifier=hashes[user],
                cluster=tuple(
                    privilege
                    for role in held
                    for privilege in role.get("cluster") or role.get("cluster_permissions") or ()
                ),
                indices=tuple(_grant(entry) for role in held for entry in _entries(role)),
            )


def _entries(role: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return role.get("indices") or role.get("index_permissions") or ()


def _grant(entry: Mapping[str, Any]) -> SearchGrant:
    return SearchGrant(
        patterns=tuple(entry.get("names") or entry["index_patterns"]),
        privileges=tuple(entry.get("privileges") or entry["allowed_actions"]),
    )


def storage_access(resources: Sequence[Resource]) -> Iterator[StorageAccess]:
    """Programs with a key of an object storage, sorted by bucket and prefix."""
    seen: dict[str, dict[str, int]] = {}
    rows: set[tuple[str, str, str, str]] = set()
    for workload in resources:
        for container in all_containers(workload):
            rows |= set(_storages(container, resources))
    for bucket, prefix, name, key in sorted(rows):
        keys = seen.setdefault(bucket, {})
        number = keys.setdefault(key, len(keys) + 1)
        yield StorageAccess(workload=name, bucket=bucket, prefix=prefix, key=number)


def _storages(container: Container, resources: Sequence[Resource]) -> Iterator[tuple[str, str, str, str]]:
    """Bucket, prefix, workload, access key."""
    mounted = container.mounted(resources)
    name = container.resource.object_name
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind is Format.OBJECT_STORE:
            yield content["config"]["bucket"], f"{content.get('prefix', '')}/", name, content["config"]["access_key"]
        elif kind is Format.OTHER and isinstance(content, Mapping):
            for part in content.values():
                if isinstance(part, Mapping) and "access_key_id_file" in part:
                    key = mounted.at(str(part["access_key_id_file"]))
                    yield part["bucket"], part.get("prefix") or "", name, key.text if key else ""
