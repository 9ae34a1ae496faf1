"""A bill of materials (SBOM) of an image: one CycloneDX document in JSON, the same for the same image. It is of the
files as the image's containers see them, out of the archive that ``docker save`` and its like write, and of what is
installed, as they say: Debian packages, Python distributions, Java archives, Go modules.

Each kind of package has one reader, which takes a file's content, and raises ValueError where that is malformed.
"""

from __future__ import annotations

import email
import json
import posixpath
import re
import tarfile
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from ops.core.errors import OpsError, one_line

_GONE = ".wh."
_OPAQUE = ".wh..wh..opq"
"""File of a layer which says that nothing of its folder is left of the layers below."""
_EXECUTABLE = 0o111


@dataclass(frozen=True, kw_only=True)
class File:
    """A regular file of an image.

    Attributes:
        open: Opens it to be read, at any place; as long as the archive is open.
        executable: Whether it may be executed.
    """

    open: Callable[[], IO[bytes]]
    executable: bool = False

    def read(self) -> bytes:
        """All of it."""
        with self.open() as stream:
            return stream.read()


@contextmanager
def opened(archive: Path) -> Iterator[Mapping[str, File]]:
    """Path without its first slash -> file, of the one image in an archive, until the block ends.

    Raises:
        OpsError: It is no such archive.
    """
    with ExitStack() as stack:
        try:
            outer = stack.enter_context(tarfile.open(archive))
            [image] = json.loads(_member(outer, "manifest.json").read())
            layers = [stack.enter_context(tarfile.open(fileobj=_member(outer, name))) for name in image["Layers"]]
            files = _merged(layers)
        except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
            raise OpsError(f"{archive.name} is no archive of one image: {one_line(error, 160)}") from None
        yield files


def _merged(layers: Iterable[tarfile.TarFile]) -> dict[str, File]:
    files: dict[str, File] = {}
    for layer in layers:
        own: dict[str, File] = {}
        gone: set[str] = set()
        """Paths of which nothing is left of the layers below."""
        for member in layer:
            path = posixpath.normpath(member.name).lstrip("/")
            folder, name = posixpath.split(path)
            if name == _OPAQUE:
                gone.add(folder)
            elif name.startswith(_GONE):
                gone.add(posixpath.join(folder, name.removeprefix(_GONE)))
            elif not member.isdir():
                gone.add(path)
                if member.isfile() or member.islnk():
                    own[path] = _file(layer, member)
        files = {path: file for path, file in files.items() if gone.isdisjoint(_with_folders(path))} | own
    return files


def _with_folders(path: str) -> Iterator[str]:
    """A path and each folder that it is in, the image's own (empty) among them."""
    while path:
        yield path
        path = posixpath.dirname(path)
    yield ""


def _file(layer: tarfile.TarFile, member: tarfile.TarInfo) -> File:
    def stream() -> IO[bytes]:
        content = layer.extractfile(member)
        if content is None:
            raise ValueError(f"{member.name} is no file")
        return content

    return File(open=stream, executable=bool(member.mode & _EXECUTABLE))


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    content = archive.extractfile(name)
    if content is None:
        raise ValueError(f"{name} is no file")
    return content


_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_DPKG: Final = "var/lib/dpkg/"
_DPKG_STATUS = re.compile(rf"{_DPKG}status(\.d/[^/]+(?<!\.md5sums))?")
"""The second form is that of images without dpkg, which have a file for each package."""
_DPKG_LIST = re.compile(rf"{_DPKG}info/[^/]+\.list")
_DISTRIBUTION = re.compile(r".+\.dist-info/METADATA")
_BUNDLED = re.compile(r".+\.dist-info/sboms/.+\.json")
_JAR = re.compile(r".+\.jar")
_POM = re.compile(r"META-INF/maven/[^/]+/[^/]+/pom\.properties")
_MANIFEST = "META-INF/MANIFEST.MF"
_JAR_NAME = re.compile(r"(?P<name>.+?)-(?P<version>\d.*)")
_IVY_TITLE = re.compile(r"(?P<group>[\w.-]+)#[^;]+;.+")
_GROUPS: Final = {
    "activation": "javax.activation",
    "asm": "org.ow2.asm",
    "bcpkix": "org.bouncycastle",
    "bcprov": "org.bouncycastle",
    "caffeine": "com.github.ben-manes.caffeine",
    "checker-qual": "org.checkerframework",
    "connect": "org.apache.kafka",
    "eventbus-java": "org.greenrobot",
    "hash4j": "com.dynatrace.hash4j",
    "jna": "net.java.dev.jna",
    "kafka": "org.apache.kafka",
    "lucene": "org.apache.lucene",
    "lz4-java": "org.lz4",
    "pcollections": "org.pcollections",
    "protobuf-java": "com.google.protobuf",
    "re2j": "com.google.re2j",
    "reactive-streams": "org.reactivestreams",
    "RoaringBitmap": "org.roaringbitmap",
    "zxcvbn": "com.nulab-inc",
}
"""Artifact, or how its name begins before ``-`` or ``_`` -> its group in Maven Central, of jars that do not say it."""
_MALFORMED = (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error, tarfile.TarError)
_ELF = b"\x7fELF"
_GO_MAGIC = b"\xff Go buildinf:"
_GO_ALIGNED, _GO_HEADER = 16, 32
_GO_INLINE = 2
"""Flag of Go 1.18 and later: the texts follow the header."""
_GO_FRAME = 16
"""Bytes around the list of modules, which find it in a running program."""
_GO_DEVELOPED = "(devel)"


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """One package.

    Attributes:
        purl: Package URL.
        version: Empty where the image does not say it.
        group: Of Maven.
        location: File that names it, without first slash; empty for Debian packages.
    """

    purl: str
    name: str
    version: str
    group: str = ""
    location: str = ""


@dataclass(frozen=True, kw_only=True)
class System:
    """Who makes the image's operating system.

    Attributes:
        name, version: ``ID`` and ``VERSION_ID`` of its os-release; empty where there is none.
    """

    name: str = ""
    version: str = ""


def purl(kind: str, *path: str, version: str = "", **qualifiers: str) -> str:
    """A package URL; qualifiers without value are left out."""
    text = f"pkg:{kind}/{'/'.join(quote(part, safe=':') for part in path)}"
    pairs = "&".join(f"{key}={quote(value, safe=':')}" for key, value in sorted(qualifiers.items()) if value)
    return text + (f"@{quote(version, safe=':')}" if version else "") + (f"?{pairs}" if pairs else "")


def installed(files: Mapping[str, File]) -> tuple[System, list[Package]]:
    """Operating system and packages of an image, sorted; what belongs to a Debian package is not named again.

    Args:
        files: As of `ops.images.sbom.opened`.

    Raises:
        OpsError: A file is malformed; one line names it.
    """
    system = System()
    owned: set[str] = set()
    for path in [path for path in _OS_RELEASE if path in files][:1]:
        system = _system(files[path].read().decode())
    for path in filter(_DPKG_LIST.fullmatch, files):
        owned.update(line.lstrip("/") for line in files[path].read().decode().splitlines())
    packages: set[Package] = set()
    for path in sorted(files.keys() - owned):
        if reader := _reader(path, files[path], system):
            try:
                packages.update(reader())
            except _MALFORMED as error:
                raise OpsError(f"/{path} is malformed: {one_line(error, 160)}") from None
    return system, sorted(packages)


def _reader(path: str, file: File, system: System) -> Callable[[], Iterator[Package]] | None:
    """What reads a file, if anything of it is read."""
    if _DPKG_STATUS.fullmatch(path):
        return lambda: debian(file.read().decode(), system)
    if _DISTRIBUTION.fullmatch(path):
        return lambda: python(file.read().decode(), path)
    if _BUNDLED.fullmatch(path):
        return lambda: bundled(file.read(), path)
    if _JAR.fullmatch(path):
        return lambda: java(file.open(), path)
    if file.executable:
        return lambda: go(file.open(), path)
    return None


def _system(text: str) -> System:
    pairs = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return System(name=pairs.get("ID", "").strip("\"'"), version=pairs.get("VERSION_ID", "").strip("\"'"))


def debian(text: str, system: System) -> Iterator[Package]:
    """Packages that are installed, of dpkg's status."""
    for stanza in re.split(r"\n{2,}", text.strip()) if text.strip() else ():
        fields = email.message_from_string(stanza)
        name = _needed(fields, "Package", stanza)
        if fields.get("Status", "installed").split()[-1:] != ["installed"]:
            continue
        version = _needed(fields, "Version", name)
        source, _, source_version = fields.get("Source", "").partition(" ")
        yield Package(
            name=name,
            version=version,
            purl=purl(
                "deb",
                system.name or "debian",
                name,
                version=version,
                arch=fields.get("Architecture", ""),
                distro=f"{system.name}-{system.version}" if system.version else "",
                upstream=source + (f"@{source_version.strip('()')}" if source_version else ""),
            ),
        )


def python(text: str, path: str) -> Iterator[Package]:
    """A Python distribution, of its METADATA."""
    fields = email.message_from_string(text)
    name = _needed(fields, "Name", "a distribution")
    version = _needed(fields, "Version", name)
    yield Package(name=name, version=version, purl=purl("pypi", _normal(name), version=version), location=path)


def bundled(content: bytes, path: str) -> Iterator[Package]:
    """What a wheel has of others, as its makers say: the CycloneDX documents in its dist-info (PEP 770)."""
    document: Any = json.loads(content)
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        return
    distribution = posixpath.basename(path.partition(".dist-info/")[0]).rpartition("-")[0]
    itself = purl("pypi", _normal(distribution))
    for component in document.get("components", []):
        if not isinstance(component, dict) or "name" not in component:
            raise ValueError("a component without name")
        name, version = str(component["name"]), str(component.get("version", ""))
        if not version or component.get("scope") == "excluded":
            continue
        identity = str(component.get("purl") or purl("generic", name, version=version))
        if _normal(re.split("[@?#]", identity)[0]) != itself:
            yield Package(name=name, version=version, purl=identity, location=path)


def java(stream: IO[bytes], path: str) -> Iterator[Package]:
    """A Java archive and what was packed into it, of Maven's properties; else what its manifest and its name say."""
    with stream, zipfile.ZipFile(stream) as archive:
        names = archive.namelist()
        poms = [_pom(archive.read(name).decode("latin-1"), name) for name in names if _POM.fullmatch(name)]
        manifest = archive.read(_MANIFEST).decode() if _MANIFEST in names else ""
    file = posixpath.basename(path).removesuffix(".jar")
    named = _JAR_NAME.fullmatch(file)
    own = any(file == artifact or file.startswith(f"{artifact}-") for _, artifact, _ in poms)
    if not own and (named or not poms):
        fields = email.message_from_string(manifest.replace("\r\n", "\n").replace("\n ", ""))
        name = named["name"] if named else file
        said = fields.get("Implementation-Version") or fields.get("Bundle-Version", "")
        version = named["version"] if named else str(said)
        poms.append((_group(name, fields), name, version))
    for group, artifact, version in poms:
        path_parts = ("maven", group, artifact) if group else ("generic", artifact)
        identity = purl(*path_parts, version=version)
        yield Package(name=artifact, group=group, version=version, purl=identity, location=path)


def _pom(text: str, name: str) -> tuple[str, str, str]:
    pairs = dict(line.partition("=")[::2] for line in text.splitlines() if not line.startswith("#"))
    values = tuple(pairs.get(key, "").strip() for key in ("groupId", "artifactId", "version"))
    if not all(values):
        raise ValueError(f"{name} lacks groupId, artifactId or version")
    return values[0], values[1], values[2]


def _group(artifact: str, manifest: Message) -> str:
    """Group of an archive that has none of Maven's properties; empty where nothing says it."""
    for beginning, group in _GROUPS.items():
        if artifact == beginning or artifact.startswith((f"{beginning}-", f"{beginning}_")):
            return group
    if title := _IVY_TITLE.fullmatch(manifest.get("Implementation-Title", "")):
        return title["group"]
    symbolic = manifest.get("Bundle-SymbolicName", "").partition(";")[0]
    if symbolic.endswith(f".{artifact}") and "." in symbolic.removesuffix(f".{artifact}"):
        return symbolic.removesuffix(f".{artifact}")
    vendor: str = manifest.get("Implementation-Vendor-Id", "")
    return vendor if "." in vendor else ""


def go(stream: IO[bytes], path: str) -> Iterator[Package]:
    """Modules of a program that Go 1.18 or later built, and Go's own library; nothing of any other program."""
    with stream:
        if stream.read(len(_ELF)) != _ELF:
            return
        stream.seek(0)
        content = stream.read()
    start = content.find(_GO_MAGIC)
    while start >= 0 and not _is_build_info(content, start):
        start = content.find(_GO_MAGIC, start + 1)
    if start < 0:
        return
    release, end = _text(content, start + _GO_HEADER)
    modules, _ = _text(content, end)
    yield _module("stdlib", release.decode().removeprefix("go").partition(" ")[0], path)
    yield from _modules(modules[_GO_FRAME:-_GO_FRAME].decode(), path)


def _is_build_info(content: bytes, start: int) -> bool:
    """Whether these are build information and not a text about it, as in programs that read others'."""
    header = content[start : start + _GO_HEADER]
    if start % _GO_ALIGNED or len(header) < _GO_HEADER or not header[len(_GO_MAGIC) + 1] & _GO_INLINE:
        return False
    return content[start + _GO_HEADER + 1 : start + _GO_HEADER + 3] == b"go"


def _text(content: bytes, start: int) -> tuple[bytes, int]:
    """A text behind its length, and where it ends."""
    length = shift = 0
    while True:
        byte = content[start] if start < len(content) else 0
        length |= (byte & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if byte < 0x80:
            break
    if start + length > len(content):
        raise ValueError("the build information ends too early")
    return content[start : start + length], start + length


def _modules(text: str, path: str) -> Iterator[Package]:
    """Modules as ``go version -m`` prints them; one that is replaced by a folder keeps its name."""
    modules: list[tuple[str, str]] = []
    for line in text.splitlines():
        kind, *fields = line.split("\t")
        if kind in ("mod", "dep", "=>"):
            if len(fields) < 2:
                raise ValueError(f"the line {line!r} of the build information names no module with version")
            if kind != "=>":
                modules.append((fields[0], fields[1]))
            elif modules and not fields[0].startswith((".", "/")):
                modules[-1] = fields[0], fields[1]
    for name, version in modules:
        yield _module(name, "" if version == _GO_DEVELOPED else version, path)


def _module(name: str, version: str, path: str) -> Package:
    identity = purl("golang", *name.lower().split("/"), version=version)
    return Package(name=name, version=version, purl=identity, location=path)


def _needed(fields: Message, key: str, of: str) -> str:
    value = fields.get(key, "").strip()
    if not value:
        raise ValueError(f"no {key} for {one_line(of, 60)}")
    return str(value)


def _normal(name: str) -> str:
    """A distribution's name as package URLs have it."""
    return name.lower().replace("_", "-")


MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
SUFFIX: Final = ".cdx.json"
_VERSION = "1.5"


def write(file: Path, image: str, image_id: str, save: Callable[[Path], None]) -> bytes:
    """Describe an image of this machine.

    Args:
        file: Where the document goes.
        image: Repository and tag, without registry.
        image_id: The digest that the builder knows it by.
        save: Writes the image as an archive.

    Returns:
        The document.

    Raises:
        OpsError: The image cannot be saved, or a file in it is malformed.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside the document, since what is for temporary files may be small.
        with tempfile.TemporaryDirectory(prefix=".saved-", dir=file.parent) as folder:
            archive = Path(folder) / "image.tar"
            save(archive)
            with opened(archive) as files:
                content = document(image, image_id, files)
        file.write_bytes(content)
    except OSError as error:
        raise OpsError(f"{error.filename or file} cannot be written: {error.strerror}") from None
    except OpsError as error:
        raise OpsError(f"no SBOM of {image}: {error}") from None
    return content


def known(file: Path, image_id: str) -> bytes | None:
    """The document of an image, if the file is there and is about the image that has this id."""
    try:
        content = file.read_bytes()
        component = json.loads(content)["metadata"]["component"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if component.get("version") == image_id else None


def document(image: str, image_id: str, files: Mapping[str, File]) -> bytes:
    """The CycloneDX document of an image.

    Args:
        image: Repository and tag.
        image_id: Its digest.
        files: As of `ops.images.sbom.opened`.

    Raises:
        OpsError: A file is malformed.
    """
    system, packages = installed(files)
    content: dict[str, Any] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _VERSION,
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "obs images"}]},
            "component": {"bom-ref": image_id, "type": "container", "name": image, "version": image_id},
        },
        "components": [*_operating_system(system), *_components(packages)],
    }
    content["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))}"
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _operating_system(system: System) -> list[dict[str, Any]]:
    if not system.name:
        return []
    described = {"bom-ref": f"os:{system.name}@{system.version}", "type": "operating-system", "name": system.name}
    return [described | ({"version": system.version} if system.version else {})]


def _components(packages: Iterable[Package]) -> Iterable[dict[str, Any]]:
    """Components by their package URLs, each with all files that name it."""
    for purl, group in groupby(sorted(packages), attrgetter("purl")):
        same = list(group)
        fields = {"group": same[0].group, "name": same[0].name, "version": same[0].version}
        component: dict[str, Any] = {"bom-ref": purl, "type": "library", "purl": purl}
        component |= {key: value for key, value in fields.items() if value}
        if locations := sorted({package.location for package in same if package.location}):
            component["evidence"] = {"occurrences": [{"location": f"/{location}"} for location in locations]}
        yield component
