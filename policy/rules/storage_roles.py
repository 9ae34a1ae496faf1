"""Keys of the object storage: who has one, our own programs by their settings and Thanos by its file; and each role's
own, where the stack gives it one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.storage_roles import WITNESS, StorageRole, role_of
from policy.documents import Format, parse
from policy.model import Finding, Option, Options, Resource, Rule, UnknownValueError
from policy.rules._servers import Container, all_containers
from policy.rules._values import finding
from policy.stack_config import KEY_OF_ROLE


@dataclass(frozen=True)
class StorageUser:
    """A container with a key.

    Attributes:
        container: The container.
        bucket: The bucket.
        prefix: What its keys begin with; empty for the whole bucket.
        key: Id of the access key; empty where it is not there.
    """

    container: Container
    bucket: str
    prefix: str
    key: str

    @property
    def workload(self) -> str:
        """Name of its workload."""
        return self.container.resource.object_name


def storage_users(resources: Sequence[Resource]) -> Iterator[StorageUser]:
    """Every container that is told a bucket and a key."""
    for workload in resources:
        for container in all_containers(workload):
            yield from _of(container, resources)


def _of(container: Container, resources: Sequence[Resource]) -> Iterator[StorageUser]:
    mounted = container.mounted(resources)
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind is Format.OBJECT_STORE:
            config = content["config"]
            yield StorageUser(
                container, config.get("bucket") or "", f"{content.get('prefix', '')}/", config.get("access_key") or ""
            )
        elif kind is Format.OTHER and isinstance(content, Mapping):
            for part in content.values():
                if isinstance(part, Mapping) and "access_key_id_file" in part:
                    key = mounted.at(str(part["access_key_id_file"]))
                    yield StorageUser(
                        container, part.get("bucket") or "", part.get("prefix") or "", key.text.strip() if key else ""
                    )


_FIX = "give it the key of its role (components/storage_roles.py)"


def _own(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    roles = frozenset(map(StorageRole, options["roles"]))
    if not roles:
        return
    users = [user for user in storage_users(resources) if user.workload not in WITNESS.workloads]
    for user in users:
        role = role_of(user.workload)
        if role is None:
            problem = "it has a key of the object storage, and no role there"
            yield finding(user.container.resource, user.container.node, problem, _FIX)
        elif wrong := _wrong(user, role, users, roles):
            yield finding(user.container.resource, user.container.node, wrong, _FIX)
    for container in {user.container.resource: user.container for user in users if not user.key}.values():
        if container.mounted(resources).unknown:
            raise UnknownValueError(container.mounted(resources).unknown)


def _wrong(
    user: StorageUser, role: StorageRole, users: Sequence[StorageUser], roles: frozenset[StorageRole]
) -> str | None:
    """What is wrong with the key of a user; None for nothing."""
    for other in users:
        theirs = role_of(other.workload)
        if theirs is None or not user.key or not other.key:
            continue
        if theirs is not role and other.key == user.key and {role, theirs} & roles:
            return f"its key of the object storage, as {role}, is that of {other.workload}, which is {theirs}"
        if theirs is role and other.key != user.key:
            return f"its key of the object storage, as {role}, is another than that of {other.workload}"
    return None


RULES: tuple[Rule, ...] = (
    Rule(
        id=KEY_OF_ROLE,
        promise="Where a role has a key of the object storage of its own, its workloads have that key and nobody else.",
        why="Who takes over one pod could otherwise remove or replace what others stored.",
        sources=("D1", "P2"),
        options={
            "roles": Option(
                default=[str(role) for role in StorageRole],
                schema={"type": "array", "items": {"type": "string", "enum": [str(role) for role in StorageRole]}},
                meaning="Roles with a key of their own.",
            )
        },
        stack=_own,
    ),
)
