"""Images that are built here from Dockerfiles, with buildah: no daemon, no foreign image, storage in the cache."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import LabError
from lab.paths import cache_root
from lab.toolchain import debian
from lab.toolchain.layers import file_digest
from lab.toolchain.tools import locked

_AUTHORITIES = Path("/etc/ssl/certs")
_BUNDLE = _AUTHORITIES / "ca-certificates.crt"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIMIT_S = 600


def environment() -> dict[str, str]:
    """Environment in which buildah works here; written beside the storage that it names."""
    root = cache_root() / "containers"
    root.mkdir(parents=True, exist_ok=True)
    configuration = root / "storage.conf"
    text = f'[storage]\ndriver = "overlay"\ngraphroot = "{root}/storage"\nrunroot = "{root}/run"\n'
    if not configuration.exists() or configuration.read_text() != text:
        part = configuration.with_suffix(f".{os.getpid()}")
        part.write_text(text)
        part.replace(configuration)
    return {
        **os.environ,
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "overlay",
        "CONTAINERS_STORAGE_CONF": str(configuration),
    }


def base_image() -> str:
    """An image of Debian as the lab's other images have it, for ``BASE``.

    It trusts the authorities that this machine trusts, since downloads during a build may pass a proxy.

    Raises:
        LabError: It cannot be made.
    """
    layer = debian.base()
    name = f"localhost/obs-base:{layer.key}-{file_digest(_BUNDLE)[:10]}"
    return _made(name, "scratch", [(layer.ensure(), "/"), (_AUTHORITIES, str(_AUTHORITIES))], f"PATH={_PATH}")


def _made(name: str, parent: str, contents: Sequence[tuple[Path, str]], variable: str) -> str:
    with locked("containers"):
        if _buildah("images", "--quiet", name, check=False):
            return name
        container = _buildah("from", parent)
        try:
            for source, target in contents:
                _buildah("add", "--quiet", container, str(source), target)
            _buildah("config", "--env", variable, container)
            _buildah("commit", "--quiet", container, name)
        finally:
            _buildah("rm", container, check=False)
    return name


def _buildah(*arguments: str, check: bool = True) -> str:
    """Run buildah and return what it prints; without ``check``, nothing where it fails."""
    try:
        done = subprocess.run(
            ["buildah", *arguments],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise LabError("buildah is not on PATH: run `make tools`") from None
    if done.returncode and check:
        raise LabError(f"buildah {arguments[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout.strip() if done.returncode == 0 else ""
