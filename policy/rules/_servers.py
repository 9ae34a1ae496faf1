"""Containers as the rules see them: which server runs, with which flags, environment and mounted files."""

from __future__ import annotations

import functools
import posixpath
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policy.documents import Document, Format, documents, files
from policy.model import UNKNOWN, Node, Resource, UnknownValueError
from policy.rules._kubernetes import pod_of


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


_WRAPPERS = frozenset({"sh", "bash", "dash", "ash", "env", "tini", "dumb-init", "setpriv", "gosu", "su-exec", "exec"})
_BEFORE_PROGRAM = frozenset({"exec", "--", "&&", "||", ";", "|", "then", "do"})
_SCRIPT = frozenset({"-c", "-ec", "-euc", "-lc"})


@dataclass(frozen=True, eq=False)
class Container:
    """A container of a workload."""

    resource: Resource
    pod: Node
    node: Node

    @property
    def image(self) -> str:
        """Last part of the image's repository, without registry, tag and digest."""
        return self.node["image"].text().split("@")[0].rsplit("/", 1)[-1].split(":")[0]

    @functools.cached_property
    def words(self) -> tuple[Word, ...]:
        """The command line: ``command`` and ``args``, a script behind ``-c`` of a shell taken apart."""
        return tuple(_words(self.node))

    def runs(self, *names: str) -> bool:
        """Whether one of these programs runs: by the command, or by the image where the command does not tell."""
        if any(program in names for program in self.programs):
            return True
        return (self.scripted or not self.node["command"].exists) and self.image in names

    @property
    def scripted(self) -> bool:
        """Whether a script runs, so that the command line does not tell what it starts."""
        return self.node["command"].exists and all(
            program in _WRAPPERS or program.endswith(".sh") for program in self.programs
        )

    @functools.cached_property
    def programs(self) -> tuple[str, ...]:
        """Names of the programs that the command line starts, shells included."""
        texts = [word.text for word in self.words]
        names = []
        for index, text in enumerate(texts):
            before = texts[max(index - 2, 0) : index]
            script = len(before) == 2 and posixpath.basename(before[0]) in _WRAPPERS and before[1] in _SCRIPT
            first = not index and not text.startswith("-") and "=" not in text
            if first or script or (before and before[-1] in _BEFORE_PROGRAM):
                names.append(posixpath.basename(text))
        return tuple(names)

    def flags(self, name: str) -> list[Word]:
        """Values of ``--name=value``, ``--name value`` and ``-name=value``; ``true`` for a flag without value."""
        words: list[Word] = []
        for index, word in enumerate(self.words):
            bare, separator, value = word.text.partition("=")
            if not bare.startswith("-") or bare.lstrip("-") != name:
                continue
            following = self.words[index + 1].text if index + 1 < len(self.words) else "-"
            if not separator:
                value = "true" if following.startswith("-") else following
            words.append(Word(value, word.where))
        return words

    def flag(self, name: str) -> Word | None:
        """The flag's last value, which is the one that counts."""
        return next(reversed(self.flags(name)), None)

    def variables(self, stack: Sequence[Resource]) -> Variables:
        """Environment; later entries win, as in Kubernetes."""
        variables = Variables()
        for variable in _variables(self, stack):
            if isinstance(variable, str):
                variables.unknown = variable
            else:
                variables[variable.name] = variable
        return variables

    def mounted(self, stack: Sequence[Resource]) -> Mounted:
        """Files from ConfigMaps and Secrets of the stack, with their paths in the container."""
        return _mounted(self, tuple(stack))


def containers(resource: Resource) -> Iterator[Container]:
    """Containers of a workload that keep running: also init containers that restart for ever (sidecars)."""
    for container in all_containers(resource):
        initial = container.node.path.rsplit("[", 1)[0].endswith("initContainers")
        if not initial or container.node["restartPolicy"].text() == "Always":
            yield container


@functools.lru_cache(maxsize=1024)
def all_containers(resource: Resource) -> tuple[Container, ...]:
    """Every container of a workload, init containers included."""
    pod = pod_of(resource)
    nodes = [] if pod is None else [*pod["initContainers"].elements(), *pod["containers"].elements()]
    return tuple(Container(resource, pod, node) for node in nodes) if pod else ()


def replicas(resource: Resource) -> int:
    """How many pods a workload has."""
    wanted = resource.node.at("spec.replicas")
    return int(wanted.value) if wanted.exists else 1


@functools.lru_cache(maxsize=256)
def _mounted(container: Container, stack: tuple[Resource, ...]) -> Mounted:
    mounted_files: list[File] = []
    unknown = ""
    volumes = {volume["name"].text(): volume for volume in container.pod["volumes"].elements()}
    for mount in container.node["volumeMounts"].elements():
        volume = volumes.get(mount["name"].text())
        for file in volume_files(container.resource, volume, stack) if volume else ():
            if isinstance(file, str):
                unknown = unknown or file
                continue
            path = path_of(mount, file.path)
            if path:
                mounted_files.append(File(path, file.resource, file.name, file.text))
    return Mounted(tuple(mounted_files), unknown)


def _words(node: Node) -> Iterator[Word]:
    for part in ("command", "args"):
        previous = ""
        for element in node[part].elements():
            text = element.text()
            if previous in _SCRIPT and any(space in text for space in " \n"):
                for word in _split(text):
                    yield Word(word, element.path)
            else:
                yield Word(text, element.path)
            previous = text


def _split(script: str) -> list[str]:
    try:
        return shlex.split(script.replace("\\\n", " ").replace("\n", " ; "), comments=False)
    except ValueError:
        return script.split()


def _variables(container: Container, stack: Sequence[Resource]) -> Iterator[Variable | str]:
    namespace = container.resource.namespace
    for source in container.node["envFrom"].elements():
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            name = source[field]["name"]
            held = lookup(stack, kind, name.text(), namespace) if name.exists else None
            try:
                for key, text in files(held) if held else ():
                    yield Variable(source["prefix"].text() + key, text, source.path, kind == "Secret")
            except UnknownValueError as error:
                yield f"{source.path}, {error.path}"
    for node in container.node["env"].elements():
        own = node["name"].text()
        if not node["valueFrom"].exists:
            known = node["value"].raw is not UNKNOWN
            yield Variable(own, node["value"].text() if known else None, node.path, False)
            continue
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            reference = node["valueFrom"][field]
            if reference.exists:
                held = lookup(stack, kind, reference["name"].text(), namespace)
                value = entry(held, reference["key"].text()) if held else None
                yield Variable(own, value, node.path, kind == "Secret")


def persistent(container: Container, path: str) -> bool:
    """Whether a directory of the container outlives its pod: it lies on a claim of the workload."""
    claims = {
        node["metadata"]["name"].text() for node in container.resource.node.at("spec.volumeClaimTemplates").elements()
    }
    claims |= {
        node["name"].text() for node in container.pod["volumes"].elements() if node["persistentVolumeClaim"].exists
    }
    mounts = [
        (m["mountPath"].text().rstrip("/") or "/", m["name"].text()) for m in container.node["volumeMounts"].elements()
    ]
    inside = [mount for mount in mounts if path == mount[0] or path.startswith(f"{mount[0].rstrip('/')}/")]
    return bool(inside) and max(inside, key=lambda mount: len(mount[0]))[1] in claims
