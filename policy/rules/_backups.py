"""The platform's own backup programs as rules see them: which run, on what, with which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policy.documents import parse
from policy.model import Node, Resource, UnknownValueError
from policy.rules._servers import Container, containers

JOB, ARCHIVE, BACKUP_EXPORTER = "services.backup", "services.kafka_archive", "services.backup_exporter"
PROGRAMS: Final = (JOB, ARCHIVE, BACKUP_EXPORTER)


@dataclass(frozen=True)
class Program:
    """One backup program of a workload.

    Attributes:
        container: Where it runs.
        module: Which program.
        held: ConfigMap or Secret of its settings; the workload itself where there are none.
        settings: Its settings, empty where there are none.
    """

    container: Container
    module: str
    held: Resource
    settings: Node

    @property
    def kind(self) -> str:
        """What a job backs up: the last word of its command line; empty for the other programs."""
        return self.container.words[-1].text if self.module == JOB else ""

    @property
    def section(self) -> Node:
        """What its settings say of that."""
        return self.settings[self.kind.replace("-", "_")]


def programs(stack: Sequence[Resource], *modules: str) -> tuple[list[Program], UnknownValueError | None]:
    """Backup programs of a stack (all where none is named), and what of them is not known yet."""
    parsed_programs: list[Program] = []
    unknown: UnknownValueError | None = None
    for container in (container for resource in stack for container in containers(resource)):
        module = next((word.text for word in container.words if word.text in (modules or PROGRAMS)), "")
        if module:
            mounted = container.mounted(stack)
            program = _program(container, module, stack)
            if not program.settings.exists and mounted.unknown:
                unknown = unknown or UnknownValueError(mounted.unknown)
                continue
            parsed_programs.append(program)
    return parsed_programs, unknown


def _program(container: Container, module: str, stack: Sequence[Resource]) -> Program:
    word = container.flag("config")
    file = container.mounted(stack).at(word.text) if word else None
    content = parse(file.name, file.text)[1] if file else None
    if file is None or not isinstance(content, dict):
        return Program(container, module, container.resource, Node(None, word.where if word else container.node.path))
    return Program(container, module, file.resource, Node(content, f"{file.name}:"))
