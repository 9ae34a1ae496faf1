"""Debian packages: what is missing or half installed, and how they are installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import LabError, packages

APT = """#!/bin/sh
echo "$0 $*" | sed "s|.*/||" >> {log}
{does}
"""


def program(folder: Path, name: str, does: str = "") -> None:
    file = folder / name
    file.write_text(APT.format(log=folder / "log", does=does))
    file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every program is there but slapd, and what is called is written down."""
    for name in ("apt-get", "dpkg"):
        program(tmp_path, name)
    program(tmp_path, "dpkg-query", "echo slapd un; echo gcc ii")
    monkeypatch.setattr(packages, "PROGRAMS", {"sh": "dash", "no-such-slapd": "slapd"})
    monkeypatch.setattr(packages, "FILES", {"/bin/sh": "dash", str(tmp_path / "signal.h"): "libc6-dev"})
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return tmp_path


def test_what_is_missing_is_installed_after_what_was_broken_off_and_starts_no_service(machine: Path) -> None:
    service_policy = machine / "policy-rc.d"
    program(machine, "apt-get", f"test -x {service_policy} && {service_policy}; echo services $? >> {machine}/log")
    packages.install(service_policy)
    assert (machine / "log").read_text().splitlines() == [
        "dpkg-query -W -f ${Package} ${db:Status-Abbrev}",
        " dash slapd dash libc6-dev",
        "dpkg --configure -a",
        "apt-get -o DPkg::Lock::Timeout=300 update -qq",
        "services 101",
        "apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends slapd libc6-dev",
        "services 101",
    ]
    assert not service_policy.exists()


def test_what_somebody_else_says_about_services_stays(machine: Path) -> None:
    service_policy = machine / "policy-rc.d"
    service_policy.write_text("#!/bin/sh\nexit 0\n")
    packages.install(service_policy)
    assert service_policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_package_whose_installation_was_broken_off_is_missing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PROGRAMS", {"sh": "slapd"})
    monkeypatch.setattr(packages, "FILES", {})
    program(machine, "dpkg-query", "echo slapd iU")
    assert packages.missing() == ["slapd"]
    program(machine, "dpkg-query", "echo slapd rc")
    assert packages.missing() == [], "it was removed, and the program is there all the same"


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("echo no network >&2; exit 100", r"^apt-get update failed: no network$"),
        ("sleep 60", r"^apt-get update took over 0 min: repeat the command, it goes on$"),
    ],
)
def test_a_failed_or_slow_installation_is_one_line(
    machine: Path, monkeypatch: pytest.MonkeyPatch, does: str, message: str
) -> None:
    program(machine, "apt-get", does)
    monkeypatch.setattr(packages, "_LIMIT_S", 1)
    service_policy = machine / "policy-rc.d"
    with pytest.raises(LabError, match=message):
        packages.install(service_policy)
    assert not service_policy.exists()


def test_the_headers_that_a_c_compiler_needs_are_asked_for() -> None:
    assert packages.FILES["/usr/include/signal.h"] == "libc6-dev"


def test_without_root_the_packages_are_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"^these Debian packages are missing: slapd libc6-dev: install them, or run"):
        packages.install(machine / "policy-rc.d")
