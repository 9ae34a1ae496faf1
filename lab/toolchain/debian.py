"""The base of the images that are built here: Debian, as it was published."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from lab.paths import cache_root
from lab.toolchain.layers import Layer, short_digest
from lab.toolchain.tools import run_logged

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates",)
"""Of those that images are built with: installed later, it would make the list of authorities anew."""
_PAPERS = ("usr/share/doc", "usr/share/man", "usr/share/locale")
_CONFIGURATION = {
    "etc/apt/apt.conf.d/clean": 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n'
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    "etc/dpkg/dpkg.cfg.d/papers": "".join(f"path-exclude /{folder}/*\n" for folder in _PAPERS),
}
"""As in the public image: what is installed leaves neither packages nor papers behind."""


def base() -> Layer:
    """Debian's smallest system, in which packages can be installed."""

    def fill(root: Path) -> None:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root)]
        run_logged([*command, *_mirrors()[:1]], cwd=root.parent, log=cache_root() / "logs" / "debootstrap.log")
        for waste in (*_PAPERS, "var/lib/apt", "var/cache", "var/log", "dev"):
            shutil.rmtree(root / waste, ignore_errors=True)
        for folder in ("dev", "var/log", "var/cache"):
            (root / folder).mkdir()
        for name, text in _CONFIGURATION.items():
            (root / name).write_text(text)

    return Layer(f"base-{_SUITE}-{short_digest((_PACKAGES, _CONFIGURATION))}", fill)


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
