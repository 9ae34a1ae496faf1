"""Files of an image as its containers see them, out of the archive that ``docker save`` and its like write."""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
