"""Debian packages that the embedded cluster and the tests need, and their installation."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab import LabError

PROGRAMS: Final = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "nft": "nftables",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "docker-registry": "docker-registry",
    "curl": "curl",
    "ip": "iproute2",
    "sysctl": "procps",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "gcc": "gcc",
    "slapd": "slapd",
    "ldapsearch": "ldap-utils",
    "chromium-headless-shell": "chromium-headless-shell",
}
"""Program -> package."""
FILES: Final = {
    "/usr/include/signal.h": "libc6-dev",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/lib/x86_64-linux-gnu/libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "/usr/lib/x86_64-linux-gnu/libharfbuzz-subset.so.0": "libharfbuzz-subset0",
    "/usr/share/fonts/opentype/ipafont-gothic/ipag.ttf": "fonts-ipafont-gothic",
}
"""File that tells that a package is there -> package, for those without a program on PATH."""
_LIMIT_S: Final = 1800
"""Of one call of apt-get, which downloads half a gigabyte where nothing is there."""
_LOCK_S: Final = 300
_INSTALLED: Final = "ii"
_SERVICE_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_NO_SERVICE: Final = "#!/bin/sh\n# Of `make up`, while it installs packages: starts no service.\nexit 101\n"


def missing() -> list[str]:
    """Packages that this machine lacks, or whose installation was broken off."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    absent = [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]
    absent += [package for file, package in FILES.items() if not os.path.exists(file)]
    return [*absent, *(package for package in _half_installed() if package not in absent)]


def install(service_policy: Path = _SERVICE_POLICY) -> None:
    """Install what is missing. Services that the packages would start are kept from starting.

    Args:
        service_policy: What packages ask whether a service may start.

    Raises:
        LabError: There is no right to, or apt-get fails or takes too long.
    """
    absent = missing()
    if not absent:
        return
    if os.geteuid() != 0:
        raise LabError(f"these Debian packages are missing: {' '.join(absent)}: install them, or run as root")
    apt = ("apt-get", "-o", f"DPkg::Lock::Timeout={_LOCK_S}")
    with _no_services(service_policy):
        # An installation that was broken off has to be finished before apt-get begins another one.
        _run("dpkg", "--configure", "-a")
        _run(*apt, "update", "-qq")
        _run(*apt, "install", "-y", "-qq", "--no-install-recommends", *absent)


def _half_installed() -> list[str]:
    names = [*PROGRAMS.values(), *FILES.values()]
    command = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *names]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    states = dict(line.split() for line in told.splitlines() if len(line.split()) == 2)
    # What dpkg does not know, or knows as removed, somebody may have installed in another way.
    return [name for name, state in states.items() if state[0] == "i" and state != _INSTALLED]


@contextmanager
def _no_services(service_policy: Path) -> Iterator[None]:
    if service_policy.exists():
        yield
        return
    service_policy.write_text(_NO_SERVICE)
    service_policy.chmod(0o755)
    try:
        yield
    finally:
        if service_policy.read_text() == _NO_SERVICE:
            service_policy.unlink()


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    shown = f"{command[0]} {next((word for word in command[1:] if word in ('update', 'install')), '')}".strip()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not there: the lab needs Debian or a Linux like it") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{shown} took over {_LIMIT_S // 60} min: repeat the command, it goes on") from None
    if done.returncode:
        raise LabError(f"{shown} failed: {done.stderr.strip()[-300:]}")
