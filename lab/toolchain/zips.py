"""Servers that their makers publish as one zip: downloaded from Maven Central, compared, unpacked, prepared once."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lab import LabError
from ops.images import maven
from ops.images.search_home import HOME


@dataclass(frozen=True, kw_only=True)
class ServerZip:
    """A server as its makers publish it.

    Attributes:
        name: Cache key and log name.
        version: What users know it by.
        artifact: ``group:artifact`` of its zip.
        sha256: Of the zip.
        prepare: Command line, run once in the unpacked folder.
    """

    name: str
    version: str
    artifact: str
    sha256: str
    prepare: tuple[str, ...]


def unpack(recipe: ServerZip, work: Path, run: maven.Run) -> None:
    """Fill ``work`` with the server's home folder.

    Raises:
        LabError: The zip is another one than the recipe's, or it does not hold one folder.
    """
    downloads, unpacked, home = work / "downloads", work / "unpacked", work / HOME
    maven.maven_file(f"{recipe.artifact}:{recipe.version}:zip", downloads, run)
    [archive] = downloads.iterdir()
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != recipe.sha256:
        raise LabError(f"{archive.name} has the SHA-256 {digest}, lab/toolchain/recipes.py expects {recipe.sha256}")
    with zipfile.ZipFile(archive) as entries:
        entries.extractall(unpacked)
    tops = list(unpacked.iterdir())
    if len(tops) != 1:
        raise LabError(f"{archive.name} holds {len(tops)} folders at its top; one was expected")
    tops[0].rename(home)
    for program in (home / "bin").iterdir():
        program.chmod(0o755)
    shutil.rmtree(downloads)
    shutil.rmtree(unpacked)
    run(list(recipe.prepare), home, {})
