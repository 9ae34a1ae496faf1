"""Effective settings of search nodes: their files, variables with dots, and ``-E`` arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policy.documents import parse
from policy.model import Resource
from policy.rules._formats import flatten
from policy.rules._mounts import Mounted, Variables
from policy.rules._servers import Container, containers

_OPENSEARCH: Final = ("opensearch", "opensearch-docker-entrypoint.sh", "opensearch-tar-install.sh")
_ELASTIC: Final = ("elasticsearch",)
OPENSEARCH_SECURITY: Final = "plugins.security."
_HEADS: Final = (OPENSEARCH_SECURITY, "xpack.", "cluster.", "node.", "network.", "discovery.", "path.", "transport.")


@dataclass(frozen=True)
class Setting:
    """A setting and where it is written."""

    value: Any
    resource: Resource
    where: str

    @property
    def text(self) -> str:
        """The value as it would be written."""
        if isinstance(self.value, list):
            return ", ".join(map(str, self.value))
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


@dataclass(frozen=True, eq=False)
class Search:
    """A search node with its settings."""

    container: Container
    mounted: Mounted
    variables: Variables
    given: Mapping[str, Setting]
    opensearch: bool

    def of(self, key: str) -> Setting | None:
        """A setting, or None when certainly nobody sets it."""
        setting = self.given.get(key)
        if setting is None:
            self.mounted.missing()
            self.variables.missing()
        return setting


def servers(resources: Sequence[Resource]) -> Iterator[Search]:
    """Every search node of a stack: by program or image, or by its security settings."""
    for resource in resources:
        for container in containers(resource):
            named = container.runs(*_OPENSEARCH, *_ELASTIC)
            mounted = container.mounted(resources)
            given: dict[str, Setting] = {}
            for file in mounted.files:
                if file.name.endswith((".yml", ".yaml")):
                    given |= dict(_file(file.resource, file.name, file.text))
            variables = container.variables(resources)
            for name, variable in variables.items():
                if "." in name or name == "DISABLE_SECURITY_PLUGIN":
                    given[name] = Setting(variable.value or "", resource, variable.where)
            for word in container.words:
                match = re.fullmatch(r"(?:-E\s*)?([a-z_]+(?:\.[\w-]+)+)=(.*)", word.text)
                if match:
                    given[match[1]] = Setting(match[2], resource, word.where)
            if named or any(key.startswith((OPENSEARCH_SECURITY, "xpack.security.")) for key in given):
                opensearch = container.runs(*_OPENSEARCH) or any(key.startswith(OPENSEARCH_SECURITY) for key in given)
                yield Search(container, mounted, variables, given, opensearch and not container.runs(*_ELASTIC))


def _file(resource: Resource, name: str, text: str) -> Iterator[tuple[str, Setting]]:
    content = parse("settings.yml", text)[1]
    settings = dict(flatten(content)) if isinstance(content, Mapping) else {}
    if any(key.startswith(_HEADS) for key in settings):
        for key, value in settings.items():
            yield key, Setting(value, resource, f"{name}: {key}")
