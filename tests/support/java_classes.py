"""Archives of the classes of Java servers (AppCDS), with which a server starts in two thirds of the processor time.

What is made once per machine lies in a folder of its own, keyed by all that it depends on. Java itself looks whether
an archive fits, and starts without one that does not.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from lab.toolchain.tools import atomically, locked


def made_once(parent: Path, name: str, parts: tuple[str, ...], fill: Callable[[Path], None]) -> Path:
    """Folder of what every start of a server begins with; made by the first process that asks for it.

    Args:
        parent: Where the folder is put.
        name: Beginning of its name.
        parts: What its content depends on, apart from Java.
        fill: Writes the content into an empty folder.
    """
    folder = parent / f"{name}-{hashlib.sha256(repr((java(), parts)).encode()).hexdigest()[:10]}"
    if not folder.is_dir():
        with locked(folder.name):
            if not folder.is_dir():
                atomically(folder, fill)
    return folder


@functools.cache
def java() -> str:
    """What an archive needs of Java: where it is, and the archive of its own classes on which others are built."""
    program = shutil.which("java")
    assert program is not None, "there is no java on PATH"
    home = Path(program).resolve().parent.parent
    base = home / "lib/server/classes.jsa"
    return f"{home} {base.stat().st_size} {base.stat().st_mtime_ns}" if base.exists() else str(home)


def archive(folder: Path) -> Path:
    """The archive in a folder."""
    return folder / "server-classes.jsa"


def write_at_exit(folder: Path) -> str:
    """Flag of Java: all classes that the process has used are put into the folder's archive when it ends."""
    return f"-XX:ArchiveClassesAtExit={archive(folder)}"


def read_from(folder: Path) -> tuple[str, ...]:
    """Flags of Java: classes come from the folder's archive where it fits, without a word where it does not."""
    return ("-Xshare:auto", f"-XX:SharedArchiveFile={archive(folder)}", "-Xlog:disable", "-Xlog:all=error:stderr")


def move(source: Path, target: Path) -> None:
    """Move an archive to another folder, if Java could write one."""
    if archive(source).exists():
        shutil.move(archive(source), archive(target))
