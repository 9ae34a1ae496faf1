"""Layers of Debian packages: one base for every image that needs a system, and what some images add to it.

Packages of one release only, as it was published: what is added was built against what the base holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from lab import LabError
from lab.paths import cache_root
from lab.toolchain.layers import Layer, short_digest
from lab.toolchain.tools import run_logged

_SUITE = "bookworm"
_BASE = ("openjdk-17-jre-headless", "python3-minimal", "libpython3-stdlib")
_POSTGRES = (
    "postgresql-15",
    "postgresql-client-15",
    "libpq5",
    "libicu72",
    "libldap-2.5-0",
    "libsasl2-2",
    "libxml2",
    "libxslt1.1",
)
_POSTGRES_TOOLS = ("postgresql-client-15", "libpq5", "libldap-2.5-0", "libsasl2-2", "liblz4-1", "libzstd1")
_TYPESETTING = (
    "libpango-1.0-0",
    "libpangoft2-1.0-0",
    "libharfbuzz-subset0",
    "libfribidi0",
    "libthai0",
    "libthai-data",
    "libdatrie1",
    "fonts-ipafont-gothic",
    "fonts-dejavu-core",
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MERGED = ("bin", "lib", "lib64", "sbin")
_PAPERS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")
_COMPILER = ("usr/lib/postgresql/15/lib/llvmjit.so", "usr/lib/postgresql/15/lib/bitcode")
_POSTGRES_USER = "postgres:x:999:999::/var/lib/postgresql:/bin/bash\n"
_POSTGRES_GROUP = "postgres:x:999:\n"


def base() -> Layer:
    """Debian with a Java runtime and Python, shared by every image that needs either."""

    def fill(root: Path) -> None:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_BASE)}", _SUITE, str(root)]
        run_logged([*command, *_mirrors()[:1]], cwd=root.parent, log=cache_root() / "logs" / "debootstrap.log")
        for waste in (*_PAPERS[:3], "var/lib/apt", "var/cache", "var/log", "dev"):
            shutil.rmtree(root / waste, ignore_errors=True)
        for folder in ("dev", "var/log", "var/cache"):
            (root / folder).mkdir()

    return Layer(f"base-{_SUITE}-{short_digest(_BASE)}", fill)


def postgres() -> Layer:
    """PostgreSQL over the base, with the user that the official image has.

    Without the just-in-time compiler, which alone is larger than the rest: PostgreSQL runs without it where it is not
    there.
    """

    def fill(root: Path) -> None:
        _unpack(_POSTGRES, root)
        for part in _COMPILER:
            _remove(root / part)
        (root / "etc").mkdir(exist_ok=True)
        for name, line in (("passwd", _POSTGRES_USER), ("group", _POSTGRES_GROUP)):
            (root / "etc" / name).write_text(_of_base(f"etc/{name}") + line)

    key = short_digest((_POSTGRES, _COMPILER, _POSTGRES_USER, _POSTGRES_GROUP, base().key))
    return Layer(f"postgres-15-{key}", fill)


def postgres_tools() -> Layer:
    """pg_dump and pg_restore over the base."""
    return Layer(
        f"postgres-tools-15-{short_digest((_POSTGRES_TOOLS, base().key))}", lambda root: _unpack(_POSTGRES_TOOLS, root)
    )


def typesetting() -> Layer:
    """Libraries and fonts (Japanese ones too) that pages and PDFs are drawn with."""
    return Layer(
        f"typesetting-{_SUITE}-{short_digest((_TYPESETTING, base().key))}", lambda root: _unpack(_TYPESETTING, root)
    )


def lay(packages: Iterable[Path], root: Path) -> None:
    """Lay the files of packages; nothing is configured, so it is for libraries, programs and fonts alone.

    Folders that Debian has merged into ``/usr`` become links, or the layer would hide those of the base.
    """
    log = cache_root() / "logs" / "packages.log"
    for package in packages:
        run_logged(["dpkg-deb", "--extract", str(package), str(root)], cwd=root, log=log)
    for name in filter(lambda folder: (root / folder).is_dir(), _MERGED):
        shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(root / name)
        (root / name).symlink_to(f"usr/{name}")
    for waste in _PAPERS:
        _remove(root / waste)


def _unpack(packages: tuple[str, ...], root: Path) -> None:
    """Download packages of the suite, whatever the machine's own lists say, and lay their files."""
    work = root.parent / "packages"
    for folder in ("lists/partial", "cache/archives/partial", "parts", "debs"):
        (work / folder).mkdir(parents=True)
    mirrors = _mirrors()
    if not mirrors:
        raise LabError("apt knows no Debian mirror: add one to /etc/apt/sources.list.d, then repeat")
    sources = work / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {mirrors[0]} {_SUITE} main\n")
    options = {
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": work / "parts",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"--option={key}={value}" for key, value in options.items())]
    log = cache_root() / "logs" / "packages.log"
    run_logged([*apt, "update"], cwd=work, log=log)
    run_logged([*apt, "download", *packages], cwd=work / "debs", log=log)
    lay(sorted((work / "debs").glob("*.deb")), root)
    shutil.rmtree(work)


def _mirrors() -> list[str]:
    """Debian mirrors that this machine's apt uses."""
    process = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [line.split()[0] for line in process.stdout.splitlines() if re.search(r"/debian/? ", line)]


def _of_base(name: str) -> str:
    """Text of a file of the base."""
    with tarfile.open(base().ensure()) as archive:
        for member in archive:
            if os.path.normpath(member.name) == name and (file := archive.extractfile(member)) is not None:
                return file.read().decode()
    raise LabError(f"the base layer has no {name}: remove {base().tar.parent} and repeat")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
