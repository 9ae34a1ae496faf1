"""The images of the embedded cluster: their names, what is in them, how programs find it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.versions import IMAGES
from lab.paths import CHECKOUT
from lab.toolchain import layers
from lab.toolchain.debian import lay
from lab.toolchain.images import Image, addon_images, platform_images
from lab.toolchain.recipes import COREDNS, METRICS_SERVER, VERTICAL_AUTOSCALER
from ops.images.pins import pinned

NOT_RUN_HERE = {IMAGES["elasticsearch"]}
WITH_WEB_EXTRAS = {
    "backup",
    "backup_exporter",
    "runtime",
    "charts",
    "grafana_fake",
    "kafka_archive",
    "failover_agent",
    "regions",
    "report_server",
    "reports",
}
"""Programs that run in an image with the packages that people read from."""


def test_every_image_that_pods_name_is_built_here() -> None:
    built = [f"{image.repository}:{image.tag}" for image in (*addon_images(), *platform_images())]
    assert len(set(built)) == len(built)
    of_the_node = {
        "lab/pause:1",
        f"coredns/coredns:{COREDNS}",
        f"metrics-server/metrics-server:{METRICS_SERVER}",
        f"autoscaling/vpa-recommender:{VERTICAL_AUTOSCALER}",
    }
    assert set(IMAGES.values()) - NOT_RUN_HERE == set(built) - of_the_node


def test_what_an_image_gives_wins_over_what_all_images_have_and_stands_once() -> None:
    plain, own = Image("a/b", "1", ()), Image("a/b", "1", (), environment=("PYTHONPATH=/x", "HOME=/tmp"))
    assert plain.variables == ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONPATH=/opt/app:/opt/app/site"]
    assert own.variables == ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONPATH=/x", "HOME=/tmp"]


def test_images_that_share_layers_keep_theirs_apart() -> None:
    keys = {image.repository: [layer.key for layer in image.layers] for image in platform_images()}
    services, grafana, reports = (keys[name] for name in ("obs/services", "grafana/grafana", "obs/reports"))
    web_extras = layers.web_extras().key
    assert web_extras not in services
    assert web_extras in grafana
    assert web_extras in reports
    assert services[0] == grafana[0] == reports[0] == keys["library/postgres"][0]
    assert {layers.sources().key} <= set(services) & set(grafana) & set(reports)


def test_sources_carry_templates_and_data_files_and_change_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "CHECKOUT", tmp_path)
    monkeypatch.setattr(layers, "_SOURCES", ("services",))
    folder = tmp_path / "services" / "reports" / "templates"
    folder.mkdir(parents=True)
    names = ("page.html.j2", "page.css", "words.toml", "words.json", "x.py", "x.yaml")
    for name in (*names, "x.pyc", "notes.md"):
        (folder / name).write_text(name)
    before = layers.sources()
    before.fill(tmp_path / "root")
    laid = {path.name for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert laid == set(names)
    (folder / "page.css").write_text("other")
    assert layers.sources().key != before.key


def with_dependencies(pins: Iterable[str]) -> set[str]:
    """Distributions that pip installs for requirements, as this machine's packages name them."""
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(pin) for pin in pins]
    while waiting:
        requirement = waiting.pop()
        for extra in (*requirement.extras, ""):
            known = (canonicalize_name(requirement.name), extra)
            if known in seen:
                continue
            seen.add(known)
            needed = map(Requirement, metadata.requires(requirement.name) or ())
            waiting += [
                requirement
                for requirement in needed
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in seen}


def imported(folder: Path) -> set[str]:
    """Modules of other people that the programs below a folder import."""
    names: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"services", "lab", "components"}


@pytest.mark.parametrize("program", sorted(path.parent.name for path in CHECKOUT.glob("services/*/__init__.py")))
def test_what_a_program_imports_is_in_its_image(program: str) -> None:
    pins = pinned(layers.REQUIREMENTS, CHECKOUT)
    if program in WITH_WEB_EXTRAS:
        pins += pinned(layers.WEB_EXTRAS_REQUIREMENTS, CHECKOUT)
    present, by_module = with_dependencies(pins), metadata.packages_distributions()
    missing = {
        module
        for module in imported(CHECKOUT / "services" / program)
        if not {canonicalize_name(name) for name in by_module.get(module, ())} & present
    }
    assert missing == set()


def test_the_fake_stands_where_the_real_image_has_grafana(tmp_path: Path) -> None:
    layers.grafana_program().fill(tmp_path)
    program = tmp_path / "usr" / "share" / "grafana" / "bin" / "grafana"
    stand_in = tmp_path / "bin" / "python3"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    stand_in.chmod(0o755)
    given = ["server", "--homepath=/usr/share/grafana", "--config=/etc/grafana/a b.ini"]
    told = subprocess.run([program, *given], env={"PATH": str(stand_in.parent)}, capture_output=True, text=True)
    assert told.stdout.split("|")[:-1] == ["-m", "lab.fakes.grafana", *given]


def test_packages_are_laid_into_usr_so_that_the_base_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "logs").mkdir(parents=True)
    source = tmp_path / "source"
    for name in ("DEBIAN/control", "lib/x86_64-linux-gnu/libx.so", "usr/bin/x", "usr/share/doc/x/copyright"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("x")
    control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
    (source / "DEBIAN" / "control").write_text(control)
    package = tmp_path / "x.deb"
    subprocess.run(["dpkg-deb", "--build", str(source), str(package)], check=True, capture_output=True)
    root = tmp_path / "root"
    root.mkdir()
    lay([package], root)
    assert {path.name for path in root.iterdir() if path.is_symlink()} == {"lib"}
    assert (root / "usr" / "lib" / "x86_64-linux-gnu" / "libx.so").is_file()
    assert (root / "usr" / "bin" / "x").is_file()
    assert not (root / "usr" / "share" / "doc").exists()
