"""Prepares a machine: Debian packages, then every tool of the recipes. Safe to repeat and to interrupt."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection

from lab import LabError
from lab.timing import TOOL, Steps
from lab.toolchain import tools
from lab.toolchain.recipes import RECIPES

_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "nft": "nftables",
    "debootstrap": "debootstrap",
    "curl": "curl",
    "ip": "iproute2",
    "gcc": "gcc",
    "slapd": "slapd",
    "ldapsearch": "ldap-utils",
    "chromium-headless-shell": "chromium-headless-shell",
}
_FILES = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/lib/x86_64-linux-gnu/libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "/usr/lib/x86_64-linux-gnu/libharfbuzz-subset.so.0": "libharfbuzz-subset0",
    "/usr/share/fonts/opentype/ipafont-gothic/ipag.ttf": "fonts-ipafont-gothic",
}
"""File that tells that a package is there -> package, for those without a program on PATH."""
_APT_LIMIT_S = 600


def missing_packages() -> list[str]:
    """Debian packages that the embedded cluster and the tests need and this machine lacks."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    missing = [package for program, package in _PACKAGES.items() if shutil.which(program, path=path) is None]
    return [*missing, *(package for file, package in _FILES.items() if not os.path.exists(file))]


def packages() -> None:
    """Install what is missing. Services that the packages would start are kept from starting."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"these Debian packages are missing: {' '.join(missing)}: install them, or run as root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_APT_LIMIT_S)
        if done.returncode:
            raise LabError(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}")


def toolchain(steps: Steps, only: Collection[str] = ()) -> None:
    """Build the recipes that are not cached yet, one after the other: a Go build uses every core by itself."""
    known = {recipe.name for recipe in RECIPES}
    for name in only:
        if name not in known:
            raise LabError(f"tool {name}: unknown; allowed: {', '.join(sorted(known))}")
    missing = {f"{TOOL}{recipe.name} {recipe.version}": recipe for recipe in RECIPES if not only or recipe.name in only}
    for name, recipe in tuple(missing.items()):
        if tools.folder(recipe).is_dir():
            steps.skip(name)
            del missing[name]
    for name, recipe in missing.items():
        with steps.step(name):
            tools.ensure(recipe)
