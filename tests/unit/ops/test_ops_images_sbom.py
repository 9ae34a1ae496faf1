"""Bills of materials of images: what a builder's archive holds, how each kind of package is read, and mistakes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.versions import IMAGES
from ops.core.errors import OpsError
from ops.images import sbom
from ops.images.command import images_app
from ops.images.sbom import File, opened
from tests.support.cyclonedx import package_urls, validated

IMAGE_ID = "sha256:" + "a" * 64
OS_RELEASE = b'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_ID="12"\n'
STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: shell
 Package: not a field

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl (3.0.16-1)
Version: 1:3.0.16-1~deb12u1
"""
METADATA = b"Metadata-Version: 2.1\nName: Some_Package\nVersion: 1.2.3\n\nName: of its description\n"
SITE = "opt/app/site"


def member(name: str, content: bytes | None = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A file of a layer; without content, of another kind."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content or b"")
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry, content or b""


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def saved(file: Path, *layers: bytes) -> Path:
    """An archive as `docker save` writes it."""
    names = [f"blobs/sha256/{number}" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["a/b:1"], "Layers": names}]).encode()
    contents = dict(zip(names, layers, strict=True)) | {"manifest.json": manifest}
    file.write_bytes(packed(*(member(name, content) for name, content in contents.items())))
    return file


def jar(contents: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    return stream.getvalue()


def pom(group: str, artifact: str, version: str) -> dict[str, str]:
    text = f"#Generated\r\ngroupId={group}\r\nartifactId={artifact}\r\nversion={version}\r\n"
    return {f"META-INF/maven/{group}/{artifact}/pom.properties": text}


def program(modules: str, release: str = "go1.26.8", *, before: bytes = b"") -> bytes:
    """An ELF file with build information as Go 1.18 and later write it."""

    def text(content: bytes) -> bytes:
        length, size = bytearray(), len(content)
        while size >= 0x80:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([*length, size]) + content

    start = (b"\x7fELF" + before).ljust(4096, b"\0")
    header = (b"\xff Go buildinf:" + bytes([8, 2])).ljust(32, b"\0")
    framed = b"<" * 16 + modules.encode() + b">" * 16
    return start + header + text(release.encode()) + text(framed) + b"\0" * 64


def files(contents: Mapping[str, bytes]) -> dict[str, File]:
    """Files of an image; what is in `bin` may be executed."""

    def file(path: str, content: bytes) -> File:
        return File(open=lambda: io.BytesIO(content), executable=path.startswith("bin/"))

    return {path: file(path, content) for path, content in contents.items()}


def urls(contents: Mapping[str, bytes]) -> list[str]:
    return [package.purl for package in sbom.installed(files(contents))[1]]


def test_an_image_has_what_its_layers_leave(tmp_path: Path) -> None:
    below = packed(
        member("./kept", b"1", mode=0o755),
        member("etc", None, type=tarfile.DIRTYPE),
        member("etc/changed", b"old"),
        member("etc/removed", b"x"),
        member("folder/a/b", b"x"),
        member("opaque/below", b"x"),
        member("replaced/by/a/link", b"x"),
    )
    above = packed(
        member("etc", None, type=tarfile.DIRTYPE),
        member("etc/.wh.removed"),
        member("etc/changed", b"new"),
        member(".wh.folder"),
        member("opaque/above", b"y"),
        member("opaque/.wh..wh..opq"),
        member("replaced", None, type=tarfile.SYMTYPE, linkname="etc"),
        member("hard", None, type=tarfile.LNKTYPE, linkname="etc/changed"),
    )
    with opened(saved(tmp_path / "image.tar", below, gzip.compress(above))) as image:
        assert {path: file.read() for path, file in image.items()} == {
            "kept": b"1",
            "etc/changed": b"new",
            "opaque/above": b"y",
            "hard": b"new",
        }
        assert [path for path, file in image.items() if file.executable] == ["kept"]


def test_an_archive_of_something_else_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed(member("other", b"")))
    (tmp_path / "b.tar").write_bytes(b"no archive")
    for name in ("a.tar", "b.tar"):
        with pytest.raises(OpsError, match=rf"^{name} is no archive of one image: "), opened(tmp_path / name):
            pass


def test_debian_packages_are_those_that_are_installed() -> None:
    assert urls({"etc/os-release": OS_RELEASE, "var/lib/dpkg/status": STATUS}) == [
        "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libssl3@1:3.0.16-1~deb12u1?arch=amd64&distro=debian-12&upstream=openssl%403.0.16-1",
    ]
    alone = {"var/lib/dpkg/status.d/base": b"Package: base\nVersion: 12\n", "var/lib/dpkg/status.d/base.md5sums": b"x"}
    assert urls(alone) == ["pkg:deb/debian/base@12"]


def test_a_python_distribution_is_named_with_what_its_wheel_says_of_others() -> None:
    bundled = {
        "bomFormat": "CycloneDX",
        "components": [
            {"name": "some_package", "version": "1.2.3", "purl": "pkg:pypi/Some_Package@1.2.3?file_name=a.whl"},
            {"name": "openssl", "version": "4.0.3", "purl": "pkg:generic/openssl@4.0.3"},
            {"name": "libjpeg / turbo", "version": "3.2.0"},
            {"name": "only to build", "version": "1", "scope": "excluded"},
            {"name": "without version"},
        ],
    }
    folder = f"{SITE}/some_package-1.2.3.dist-info"
    contents = {
        f"{folder}/METADATA": METADATA,
        f"{folder}/sboms/a.cdx.json": json.dumps(bundled).encode(),
        f"{folder}/sboms/b.spdx.json": b"{}",
        f"{SITE}/data/METADATA": b"something else",
    }
    assert urls(contents) == [
        "pkg:generic/libjpeg%20%2F%20turbo@3.2.0",
        "pkg:generic/openssl@4.0.3",
        "pkg:pypi/some-package@1.2.3",
    ]


@pytest.mark.parametrize(
    ("name", "contents", "expected"),
    [
        ("gson-2.10.jar", pom("com.google.code.gson", "gson", "2.10"), ["maven/com.google.code.gson/gson@2.10"]),
        (
            "agent-1.0.jar",
            {**pom("io.agent", "agent", "1.0"), **pom("org.packed", "inside", "3")},
            ["maven/io.agent/agent@1.0", "maven/org.packed/inside@3"],
        ),
        (
            "fat-1.0.jar",
            {**pom("org.packed", "inside", "3"), "META-INF/MANIFEST.MF": "Implementation-Vendor-Id: org.fat\r\n"},
            ["maven/org.fat/fat@1.0", "maven/org.packed/inside@3"],
        ),
        ("kafka_2.13-4.3.1.jar", {}, ["maven/org.apache.kafka/kafka_2.13@4.3.1"]),
        (
            "opensearch-rest-client-2.19.4.jar",
            {"META-INF/MANIFEST.MF": "Implementation-Title: org.opensearch.client#rest;2.19.4\r\n"},
            ["maven/org.opensearch.client/opensearch-rest-client@2.19.4"],
        ),
        (
            "scala-library-2.13.18.jar",
            {"META-INF/MANIFEST.MF": "Bundle-SymbolicName: org.scala-lang.scala-l\r\n ibrary;singleton:=true\r\n"},
            ["maven/org.scala-lang/scala-library@2.13.18"],
        ),
        ("app.jar", {"META-INF/MANIFEST.MF": "Implementation-Version: 7\r\n"}, ["generic/app@7"]),
        ("unknown-7.jar", {}, ["generic/unknown@7"]),
        ("renamed.jar", pom("org.known", "known", "2"), ["maven/org.known/known@2"]),
    ],
)
def test_a_java_archive_is_named_by_what_it_says(name: str, contents: dict[str, str], expected: list[str]) -> None:
    assert urls({f"opt/{name}": jar(contents)}) == [f"pkg:{url}" for url in expected]


def test_a_go_program_has_the_modules_that_it_was_built_of() -> None:
    modules = (
        "path\tlab/otelcol\nmod\tlab/otelcol\t(devel)\t\n"
        "dep\tgithub.com/IBM/sarama\tv1.47.0\th1:a=\n"
        "dep\texample.com/old\tv1.0.0\n=>\texample.com/new\tv1.1.0\th1:b=\n"
        "dep\tobs-platform/collector\tv0.0.0\n=>\t../own\t(devel)\t\n"
        "build\t-trimpath=true\n"
    )
    text = b"\xff Go buildinf: is what others look for".rjust(64, b"x")
    assert urls({"bin/otelcol": program(modules, before=text), "bin/sh": b"#!/bin/sh\n", "bin/c": b"\x7fELF"}) == [
        "pkg:golang/example.com/new@v1.1.0",
        "pkg:golang/github.com/ibm/sarama@v1.47.0",
        "pkg:golang/lab/otelcol",
        "pkg:golang/obs-platform/collector@v0.0.0",
        "pkg:golang/stdlib@1.26.8",
    ]


def test_what_belongs_to_a_debian_package_is_not_named_again() -> None:
    contents = {
        "var/lib/dpkg/status": STATUS,
        "var/lib/dpkg/info/a:amd64.list": b"/.\n/usr/lib/jvm/a.jar\n/usr/bin/runc\n",
        "usr/lib/jvm/a.jar": b"not even read",
    }
    assert urls(contents) == urls({"var/lib/dpkg/status": STATUS})


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("var/lib/dpkg/status", b"Package: bash\nStatus: install ok installed\n", "no Version for bash"),
        ("var/lib/dpkg/status", STATUS + b"\nstray text\n", "no Package for stray text"),
        (f"{SITE}/a-1.dist-info/METADATA", b"Name: a\n", "no Version for a"),
        (f"{SITE}/a-1.dist-info/METADATA", b"Name: \xff\n", "'utf-8' codec can't decode byte 0xff in position 6"),
        (f"{SITE}/a-1.dist-info/sboms/b.json", b"{", "Expecting property name enclosed in double quotes"),
        (
            f"{SITE}/a-1.dist-info/sboms/b.json",
            b'{"bomFormat": "CycloneDX", "components": [1]}',
            "a component without name",
        ),
        ("opt/a-1.jar", b"PK", "File is not a zip file"),
        (
            "opt/a-1.jar",
            jar({"META-INF/maven/g/a/pom.properties": "groupId=g\n"}),
            "META-INF/maven/g/a/pom.properties lacks groupId, artifactId or version",
        ),
        ("bin/a", program("mod\ta\n"), r"the line 'mod\\ta' of the build information names no module with version"),
        ("bin/a", program("mod\ta\tv1\n" * 60)[:4300], "the build information ends too early"),
    ],
)
def test_a_malformed_file_is_named_in_one_line(path: str, content: bytes, problem: str) -> None:
    with pytest.raises(OpsError, match=rf"^/{path} is malformed: {problem}") as failure:
        urls({path: content})
    assert "\n" not in str(failure.value)


def test_the_document_names_image_and_packages_and_is_the_same_for_the_same_image() -> None:
    archive = jar(pom("g", "a", "1"))
    contents = {
        "etc/os-release": OS_RELEASE,
        "var/lib/dpkg/status": STATUS,
        f"{SITE}/some_package-1.2.3.dist-info/METADATA": METADATA,
        "opt/one/a-1.jar": archive,
        "opt/another/a-1.jar": archive,
        "bin/program": program("mod\ta/b\tv1.0.0\n"),
    }
    content = sbom.document("obs/services:1", IMAGE_ID, files(contents))
    document = validated(content)
    assert (document["metadata"]["component"]["name"], document["metadata"]["component"]["version"]) == (
        "obs/services:1",
        IMAGE_ID,
    )
    assert {url.partition("/")[0] for url in package_urls(document)} == {
        "pkg:deb",
        "pkg:golang",
        "pkg:maven",
        "pkg:pypi",
    }
    by_name = {component["name"]: component for component in document["components"]}
    assert by_name["debian"] | {"bom-ref": ""} == {
        "bom-ref": "",
        "type": "operating-system",
        "name": "debian",
        "version": "12",
    }
    assert (by_name["a"]["group"], by_name["a"]["version"]) == ("g", "1")
    assert [place["location"] for place in by_name["a"]["evidence"]["occurrences"]] == [
        "/opt/another/a-1.jar",
        "/opt/one/a-1.jar",
    ]
    again = dict(reversed(contents.items()))
    assert sbom.document("obs/services:1", IMAGE_ID, files(again)) == content
    assert sbom.document("obs/services:1", "sha256:" + "b" * 64, files(contents)) != content


def test_an_image_of_nothing_has_a_document() -> None:
    assert validated(sbom.document("obs/otelcol:1", IMAGE_ID, {}))["components"] == []


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `image.tar` is what buildah has built."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        f"#!/bin/sh\ncase $1 in\ninspect) echo {IMAGE_ID} ;;\n"
        f'push) for last; do :; done; cp {tmp_path}/image.tar "${{last#docker-archive:}}" ;;\nesac\n'
    )
    (folder / "buildah").write_text(script)
    (folder / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


def build(folder: Path, registry: str, *options: str) -> Any:
    command = ["build", "services", "--registry", registry, "--tool", "buildah", "--sbom", str(folder / "sbom")]
    return CliRunner().invoke(images_app, [*command, *options])


def test_building_writes_a_document_of_each_image(builder: Path) -> None:
    saved(builder / "image.tar", packed(member("var/lib/dpkg/status", STATUS)))
    done = build(builder, "registry.example.com/team")
    file = builder / "sbom" / "services.cdx.json"
    assert done.exit_code == 0, done.output
    assert f"{IMAGE_ID}, {file} (" in done.stderr
    component = validated(file.read_bytes())["metadata"]["component"]
    assert (component["name"], component["version"]) == (IMAGES["services"], IMAGE_ID)
    assert sbom.known(file, IMAGE_ID) == file.read_bytes()
    assert sbom.known(file, "sha256:" + "b" * 64) is None
    assert [path.name for path in file.parent.iterdir()] == ["services.cdx.json"]


@pytest.mark.parametrize(("registry", "options"), [("localhost", []), ("registry.example.com", ["--no-sbom"])])
def test_an_image_that_stays_here_has_no_document(builder: Path, registry: str, options: list[str]) -> None:
    assert build(builder, registry, *options).exit_code == 0
    assert not (builder / "sbom").exists()


def test_an_image_that_cannot_be_described_is_named(builder: Path) -> None:
    saved(builder / "image.tar", packed(member("opt/a-1.jar", b"PK")))
    done = build(builder, "registry.example.com")
    assert str(done.exception) == (
        f"no SBOM of {IMAGES['services']}: /opt/a-1.jar is malformed: File is not a zip file"
    )
    assert not (builder / "sbom" / "services.cdx.json").exists()
