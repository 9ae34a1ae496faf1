"""Programs with a key of an object storage: our own by their settings, Thanos by its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policy.documents import Format, parse
from policy.model import Resource
from policy.rules._servers import Container, all_containers


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
            yield StorageUser(container, config["bucket"], f"{content.get('prefix', '')}/", config["access_key"])
        elif kind is Format.OTHER and isinstance(content, Mapping):
            for part in content.values():
                if isinstance(part, Mapping) and "access_key_id_file" in part:
                    key = mounted.at(str(part["access_key_id_file"]))
                    yield StorageUser(
                        container, part["bucket"], part.get("prefix") or "", key.text.strip() if key else ""
                    )
