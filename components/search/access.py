"""Users of the search cluster and the least that each may do, in the form that each engine reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.search.config import Engine
from components.search.indices import DEPENDENCIES, LOGS, SERVICES, SPANS, trace_alias, trace_family
from components.telemetry import attributes

INDEX_MANAGER = "index-manager"
PROBE = "search-probe"
ERASER = "search-eraser"
"""Whose login `obs privacy` uses: it finds and removes documents of one person."""
ERASER_SECRET = f"{ERASER}-auth"
"""Secret with its password; no pod mounts it."""
RESTORER = "search-restorer"
"""Whose login `ops backup restore search` uses where no certificate makes an administrator: in Elasticsearch."""
RESTORER_SECRET = f"{RESTORER}-auth"
"""Secret with its password; no pod mounts it."""

_HELLO = "cluster:monitor/main"
_READ_CLUSTER = (
    _HELLO,
    "indices:data/read/mget",
    "indices:data/read/msearch",
    "indices:data/read/scroll",
    "indices:data/read/scroll/clear",
)
_READ = (
    "indices:data/read/*",
    "indices:admin/get",
    "indices:admin/mappings/get",
    "indices:admin/mappings/fields/get*",
    "indices:admin/resolve/index",
)
_WRITE_CLUSTER = (_HELLO, "indices:data/write/bulk")
_WRITE = ("indices:data/write/index", "indices:data/write/bulk*")
_ADD_FIELDS = ("indices:admin/mapping/auto_put", "indices:admin/mapping/put")
_MANAGE_CLUSTER = ("cluster:monitor/*", "indices:admin/index_template/*")
_MANAGE = ("indices:admin/*", "indices:monitor/*")
_ERASE_CLUSTER = (*_READ_CLUSTER, "indices:data/write/bulk")
_ERASE = (
    *_READ,
    "indices:data/write/delete*",
    "indices:data/write/bulk*",
    "indices:admin/refresh*",
)
_WATCH_CLUSTER = ("cluster:monitor/health", "cluster:monitor/state")


@dataclass(frozen=True, kw_only=True)
class SearchUser:
    """A client and the least that it needs; what is not listed is refused.

    Attributes:
        name: User name: the client's workload name.
        reads: Families of indices that it reads.
        writes: Families that it adds documents to; it can neither delete nor update.
        adds_fields: Whether its documents may have fields that the mapping does not name yet.
        aliases: Aliases that it uses.
        manages: Families whose indices, aliases and templates it keeps; it cannot read or write their documents.
        erases: Families whose documents it reads and removes.
        restores: Families whose indices it makes, fills and removes, also under longer names. Elasticsearch only.
        watches: May see the health of the cluster and where its copies are.
        people: People use this login: what it is let do is told to the audit log, like what anybody is refused.
    """

    name: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    adds_fields: bool = False
    aliases: tuple[str, ...] = ()
    manages: tuple[str, ...] = ()
    erases: tuple[str, ...] = ()
    restores: tuple[str, ...] = ()
    watches: bool = False
    people: bool = False


def trace_writer(name: str) -> SearchUser:
    """Writes spans and services of every class; tags become fields."""
    families = [(data_class, kind) for data_class in attributes.CLASSES for kind in (SPANS, SERVICES)]
    return SearchUser(
        name=name,
        adds_fields=True,
        writes=tuple(trace_family(*family) for family in families),
        aliases=tuple(trace_alias(*family, "write") for family in families),
    )


def dependency_writer(name: str) -> SearchUser:
    """Writes the dependency map of every class."""
    return SearchUser(
        name=name,
        writes=tuple(trace_family(data_class, DEPENDENCIES) for data_class in attributes.CLASSES),
        aliases=tuple(trace_alias(data_class, DEPENDENCIES, "write") for data_class in attributes.CLASSES),
    )


def trace_reader(name: str, clearance: str) -> SearchUser:
    """Reads traces of a class and of those below it.

    Raises:
        ValueError: There is no such class.
    """
    kinds = (SPANS, SERVICES, DEPENDENCIES)
    return SearchUser(
        name=name,
        reads=tuple(
            trace_family(readable_class, kind) for readable_class in attributes.readable(clearance) for kind in kinds
        ),
        aliases=tuple(trace_alias(clearance, kind, "read") for kind in kinds),
    )


def log_writer(name: str) -> SearchUser:
    """Adds logs."""
    return SearchUser(name=name, writes=(LOGS,), aliases=(f"{LOGS}-write",))


def log_reader(name: str, *, people: bool = False) -> SearchUser:
    """Reads logs."""
    return SearchUser(name=name, reads=(LOGS,), aliases=(f"{LOGS}-read",), people=people)


def backup_reader(name: str, families: Sequence[str]) -> SearchUser:
    """Reads documents and definitions of indices, by their own names: an alias is nothing to back up."""
    return SearchUser(name=name, reads=tuple(families))


def own_users(families: Sequence[str], engine: Engine) -> tuple[SearchUser, ...]:
    """Users of the cluster's own parts: index manager, readiness probe of the nodes, who erases a person's data, and
    who restores a backup.
    """
    restorer = SearchUser(name=RESTORER, restores=tuple(families), people=True)
    return (
        SearchUser(name=INDEX_MANAGER, manages=tuple(families)),
        SearchUser(name=PROBE, watches=True),
        SearchUser(name=ERASER, erases=erasable(families), people=True),
        *([restorer] if engine is Engine.ELASTICSEARCH else []),
    )


def erasable(families: Sequence[str]) -> tuple[str, ...]:
    """Families whose documents may be about a person: spans of every class, and logs."""
    return tuple(family for family in families if family == LOGS or family.endswith(f"-{SPANS}"))


def members(family: str) -> str:
    """Pattern of the indices of a family. It fits no alias: an alias says nothing about what it leads to."""
    return f"{family}-0*"


def security_documents(users: Sequence[SearchUser], hashes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Users, roles and their mapping as OpenSearch's security plugin stores them: one role for each user.

    Args:
        users: The users.
        hashes: User name -> bcrypt hash of the password.
    """
    return {
        "internalusers": {user.name: {"hash": hashes[user.name], "reserved": True} for user in users},
        "roles": {user.name: {"reserved": True, **_role(user)} for user in users},
        "rolesmapping": {user.name: {"reserved": True, "users": [user.name]} for user in users},
    }


def security_files(users: Sequence[SearchUser], hashes: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """File name -> content of everything that a new OpenSearch cluster is initialised with."""
    documents = security_documents(users, hashes)

    def file(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return {"_meta": {"type": kind, "config_version": 2}, **content}

    closed = {"config": {"enabled": False, "requests": {}}}
    return {
        "config.yml": file("config", {"config": {"dynamic": _authentication()}}),
        "internal_users.yml": file("internalusers", documents["internalusers"]),
        "roles.yml": file("roles", documents["roles"]),
        "roles_mapping.yml": file("rolesmapping", documents["rolesmapping"]),
        "action_groups.yml": file("actiongroups", {}),
        "tenants.yml": file("tenants", {}),
        "nodes_dn.yml": file("nodesdn", {}),
        "whitelist.yml": file("whitelist", closed),
        "allowlist.yml": file("allowlist", closed),
    }


def _authentication() -> dict[str, Any]:
    """Name and password from the internal users, and nothing else; nobody is anonymous."""
    return {
        "do_not_fail_on_forbidden": False,
        "http": {"anonymous_auth_enabled": False},
        "authc": {
            "internal": {
                "order": 0,
                "http_enabled": True,
                "http_authenticator": {"type": "basic", "challenge": True},
                "authentication_backend": {"type": "intern"},
            }
        },
    }


def _role(user: SearchUser) -> dict[str, Any]:
    """Permissions of a user."""
    grants = (
        (user.reads, _READ_CLUSTER, _READ, members),
        (user.writes, _WRITE_CLUSTER, _WRITE + (_ADD_FIELDS if user.adds_fields else ()), members),
        (user.manages, _MANAGE_CLUSTER, _MANAGE, "{}-*".format),
        (user.erases, _ERASE_CLUSTER, _ERASE, members),
    )
    cluster: list[str] = list(_WATCH_CLUSTER) if user.watches else []
    indices: list[dict[str, Any]] = []
    for families, of_cluster, of_indices, pattern in grants:
        if families:
            cluster += of_cluster
            patterns = [pattern(family) for family in families]
            indices.append({"index_patterns": patterns, "allowed_actions": list(of_indices)})
    return {"cluster_permissions": list(dict.fromkeys(cluster)), "index_permissions": indices}


def elasticsearch_files(users: Sequence[SearchUser], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Users and roles as Elasticsearch's file realm reads them: two text files and the roles."""
    return {
        "users": "".join(f"{user.name}:{_es_hash(hashes[user.name])}\n" for user in users),
        "users_roles": "".join(f"{user.name}:{user.name}\n" for user in users),
        "roles.yml": {user.name: _es_role(user) for user in users},
    }


def _es_hash(hashed: str) -> str:
    """Elasticsearch knows bcrypt's older prefix only; the algorithm is the same."""
    return "$2a$" + hashed.removeprefix("$2b$") if hashed.startswith("$2b$") else hashed


def _es_role(user: SearchUser) -> dict[str, Any]:
    """Permissions of a user; Elasticsearch checks an alias by its own name."""
    grants = (
        (user.reads, ["read", "view_index_metadata"]),
        (user.writes, ["create_doc", "index", *(["auto_configure"] if user.adds_fields else [])]),
        (user.manages, ["manage", "monitor"]),
        (user.erases, ["read", "view_index_metadata", "delete", "maintenance"]),
        (user.restores, ["all"]),
    )
    indices = []
    for families, privileges in grants:
        if families:
            pattern = "{}-*".format if user.manages else "*{}-*".format if user.restores else members
            names = [pattern(family) for family in families] + list(user.aliases)
            indices.append({"names": names, "privileges": privileges})
    cluster = ["monitor", "manage_index_templates"] if user.manages else ["monitor"]
    return {"cluster": cluster, "indices": indices}
