"""What ConfigMaps and Secrets of a stack put into a container: files and variables."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policy.documents import Document, Format, documents, files
from policy.model import Node, Resource, UnknownValueError


@dataclass(frozen=True)
class Word:
    """One word of a command line and where it is written."""

    text: str
    where: str


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        name: Its name.
        value: Its value; None where only the cluster knows it.
        where: Path in the workload.
        secret: Whether the value lies in a Secret.
    """

    name: str
    value: str | None
    where: str
    secret: bool


class Variables(dict[str, Variable]):
    """Environment by name; ``unknown`` names what a preview cannot know yet, if anything."""

    unknown = ""

    def missing(self) -> None:
        """To call before reporting that a variable is not set.

        Raises:
            UnknownValueError: It may be among the ones that are not known yet.
        """
        if self.unknown:
            raise UnknownValueError(self.unknown)


@dataclass(frozen=True)
class File:
    """A file as a container sees it.

    Attributes:
        path: Path in the container.
        resource: ConfigMap or Secret that holds it.
        name: Key in there.
        text: Content.
    """

    path: str
    resource: Resource
    name: str
    text: str


@dataclass(frozen=True)
class Mounted:
    """Files of a container; ``unknown`` names what a preview cannot know yet, if anything."""

    files: tuple[File, ...]
    unknown: str

    def missing(self) -> None:
        """To call before reporting that a file is not there.

        Raises:
            UnknownValueError: It may be among the files that are not known yet.
        """
        if self.unknown:
            raise UnknownValueError(self.unknown)

    def at(self, path: str) -> File | None:
        """The file with that path."""
        return next((file for file in self.files if file.path == posixpath.normpath(path)), None)


def known_documents(stack: Sequence[Resource], *formats: Format) -> tuple[list[Document], UnknownValueError | None]:
    """Parsed files of a stack, and what of it is not known yet, to raise after the known ones have been looked at."""
    known: list[Document] = []
    unknown: UnknownValueError | None = None
    for resource in stack:
        try:
            for document in documents(resource, *formats):
                known.append(document)
        except UnknownValueError as error:
            unknown = unknown or UnknownValueError(f"{resource.label}, {error.path}")
    return known, unknown


def lookup(stack: Sequence[Resource], kind: str, name: str, namespace: str) -> Resource | None:
    """The ConfigMap or Secret of that name."""
    near = _index(tuple(stack)).get((kind, name), ())
    return next(
        (resource for resource in near if not (resource.namespace and namespace) or resource.namespace == namespace),
        None,
    )


@functools.lru_cache(maxsize=8)
def _index(stack: tuple[Resource, ...]) -> dict[tuple[str, str], list[Resource]]:
    resources: dict[tuple[str, str], list[Resource]] = {}
    for resource in stack:
        if resource.kubernetes and resource.kind in ("ConfigMap", "Secret"):
            resources.setdefault((resource.kind, resource.object_name), []).append(resource)
    return resources


def volume_files(workload: Resource, volume: Node, stack: Sequence[Resource]) -> Iterator[File | str]:
    """Files of a volume with paths inside it; a text stands for what is not known."""
    sources: list[tuple[str, Node, str]] = [("ConfigMap", volume["configMap"], "name")]
    sources.append(("Secret", volume["secret"], "secretName"))
    for source in volume["projected"]["sources"].elements():
        sources += [("ConfigMap", source["configMap"], "name"), ("Secret", source["secret"], "name")]
    for kind, node, field in sources:
        if not node.exists:
            continue
        held = lookup(stack, kind, node[field].text(), workload.namespace)
        if held is None:
            continue
        paths = {item["key"].text(): item["path"].text() for item in node["items"].elements()}
        try:
            for name, text in files(held):
                if not paths or name in paths:
                    yield File(paths.get(name, name), held, name, text)
        except UnknownValueError as error:
            yield f"{held.label}, {error.path}"


def path_of(mount: Node, inside: str) -> str:
    """Path in the container of a file inside a mounted volume; empty when only another part of it is mounted."""
    target, part = mount["mountPath"].text(), mount["subPath"].text()
    if not part:
        return posixpath.normpath(posixpath.join(target, inside))
    if inside == part:
        return posixpath.normpath(target)
    under = f"{part.rstrip('/')}/"
    return posixpath.normpath(posixpath.join(target, inside[len(under) :])) if inside.startswith(under) else ""


def entry(resource: Resource, key: str) -> str | None:
    """One entry of a ConfigMap or Secret; None when it is not there or not known yet."""
    try:
        return dict(files(resource)).get(key)
    except UnknownValueError:
        return None
