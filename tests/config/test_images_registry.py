"""``obs images`` with the real tools: an image built from its Dockerfile, a registry with TLS and a login."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from components.versions import IMAGES, ImageCatalogue
from lab.paths import CHECKOUT
from lab.toolchain import containers, tools
from ops.images import sbom
from stacks.part_settings import Images
from stacks.settings import parse
from tests.config.registry_process import PASSWORD, USER, RegistryServer, registry
from tests.support.cyclonedx import package_urls, validated

pytestmark = pytest.mark.drill

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
BUILDAH = ("--tool", "buildah")
_LIMIT_S = 900


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def logged_in(server: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server.auth_file(tmp_path_factory.mktemp("login") / "auth.json")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the images' bills of materials."""
    return tmp_path_factory.mktemp("sbom")


@pytest.fixture(scope="module")
def built(server: RegistryServer, logged_in: Path, documents: Path) -> str:
    """The image of our programs, built for the registry, on this machine's own base."""
    done = built_of("services", server, logged_in, documents)
    assert f"[1/1] {IMAGES['services']}: building with buildah ..." in done.stderr
    return f"{server.host}/team/{IMAGES['services']}"


@pytest.fixture(scope="module")
def pushed(server: RegistryServer, logged_in: Path, built: str, documents: Path) -> str:
    """Digest under which the registry has that image."""
    done = obs(logged_in, "push", "services", *to(server), *certs(server), "--sbom", str(documents), *BUILDAH)
    assert done.returncode == 0, done.stderr
    return DIGEST.findall(done.stderr)[0]


def to(server: RegistryServer, path: str = "team") -> tuple[str, str]:
    return "--registry", f"{server.host}/{path}"


def certs(server: RegistryServer) -> tuple[str, str]:
    return "--cert-dir", str(server.certs)


def built_of(name: str, server: RegistryServer, auth: Path, documents: Path) -> subprocess.CompletedProcess[str]:
    """Build one image on this machine's own base, with its bill of materials."""
    base = ("--build-arg", f"BASE={containers.base_image()}")
    done = obs(auth, "build", name, *to(server), "--sbom", str(documents), *BUILDAH, *base)
    assert done.returncode == 0, done.stderr
    return done


def in_container(image: str, *command: str) -> str:
    """What a program prints in a container of an image."""
    container = tool(["buildah", "from", image]).stdout.strip()
    try:
        done = tool(["buildah", "run", container, "--", *command])
    finally:
        tool(["buildah", "rm", container])
    assert done.returncode == 0, done.stderr
    return done.stdout


def obs(auth: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**containers.environment(), "REGISTRY_AUTH_FILE": str(auth)}
    return tool([sys.executable, "-m", "ops", "images", *arguments], environment)


def tool(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment or containers.environment(),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )


def inspected(server: RegistryServer, auth: Path, reference: str) -> Any:
    """What skopeo sees of an image."""
    command = ["skopeo", "inspect", "--authfile", str(auth), "--cert-dir", str(server.certs), f"docker://{reference}"]
    done = tool(command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def raw(server: RegistryServer, auth: Path, reference: str) -> str:
    """A manifest as the registry has it."""
    options = ["--authfile", str(auth), "--cert-dir", str(server.certs)]
    done = tool(["skopeo", "inspect", "--raw", *options, f"docker://{reference}"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def attached_to(digest: str) -> str:
    """Repository and tag of the list of what is attached to the image of our programs."""
    return f"obs/services:{digest.replace(':', '-')}"


def test_the_image_runs_our_programs_as_nobody_in_particular(built: str) -> None:
    settings = json.loads(tool(["buildah", "inspect", "--type", "image", built]).stdout)["OCIv1"]["config"]
    assert settings["User"] == "65532:65532"
    assert settings["Entrypoint"] == ["/usr/bin/python3"]
    assert "Volumes" not in settings
    container = tool(["buildah", "from", built]).stdout.strip()
    try:
        program = ["/usr/bin/python3", "-m", "services.kafka_lag", "--help"]
        done = tool(["buildah", "run", container, "--", *program])
        who = tool(["buildah", "run", container, "--", "id", "-u"])
    finally:
        tool(["buildah", "rm", container])
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
    assert who.stdout.strip() == "65532"


def test_what_the_registry_has_already_is_not_sent_again(
    server: RegistryServer, logged_in: Path, pushed: str, tmp_path: Path
) -> None:
    before = json.loads(raw(server, logged_in, f"{server.host}/team/{attached_to(pushed)}"))["manifests"]
    done = obs(logged_in, "push", "services", *to(server), *certs(server), "--sbom", str(tmp_path), *BUILDAH)
    assert done.returncode == 0, done.stderr
    assert f"already there, {pushed}, SBOM {before[0]['digest']}" in done.stderr
    assert json.loads(raw(server, logged_in, f"{server.host}/team/{attached_to(pushed)}"))["manifests"] == before


def test_the_bill_of_materials_names_what_the_image_has(built: str, documents: Path) -> None:
    document = validated((documents / "services.cdx.json").read_bytes())
    identity = tool(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", built]).stdout.strip()
    described = document["metadata"]["component"]
    assert (described["name"], described["version"]) == (IMAGES["services"], f"sha256:{identity}")
    by_kind: dict[str, set[str]] = {}
    for component in document["components"]:
        kind = component.get("purl", "").partition("/")[0]
        by_kind.setdefault(kind, set()).add(f"{component['name']}={component['version']}")
    installed = in_container(built, "dpkg-query", "-W", "-f", "${Package}=${Version}\\n").split()
    assert by_kind["pkg:deb"] == set(installed)
    program = (
        "from importlib.metadata import distributions as d; "
        "print(*(f'{x.name}={x.version}' for x in d(path=['/opt/app/site'])))"
    )
    assert by_kind["pkg:pypi"] == set(in_container(built, "/usr/bin/python3", "-c", program).split())
    assert by_kind[""] == {"debian=12"}


def test_the_bill_of_materials_is_attached_to_the_image(
    server: RegistryServer, logged_in: Path, pushed: str, documents: Path
) -> None:
    [listed] = json.loads(raw(server, logged_in, f"{server.host}/team/{attached_to(pushed)}"))["manifests"]
    artifact = json.loads(raw(server, logged_in, f"{server.host}/team/obs/services@{listed['digest']}"))
    assert listed["artifactType"] == artifact["artifactType"] == "application/vnd.cyclonedx+json"
    assert artifact["subject"]["digest"] == pushed
    [layer] = artifact["layers"]
    content = requests.get(
        f"https://{server.host}/v2/team/obs/services/blobs/{layer['digest']}",
        auth=(USER, PASSWORD),
        verify=str(server.certs / "ca.crt"),
        timeout=60,
    ).content
    assert content == (documents / "services.cdx.json").read_bytes()


@pytest.mark.timeout(_LIMIT_S)
@pytest.mark.parametrize(("name", "folder"), [("kafka", "/opt/kafka"), ("opensearch", "/opt/opensearch")])
def test_each_java_archive_is_named_with_group_and_version(
    server: RegistryServer, logged_in: Path, documents: Path, name: str, folder: str
) -> None:
    built_of(name, server, logged_in, documents)
    document = validated((documents / f"{name}.cdx.json").read_bytes())
    java = [component for component in document["components"] if component.get("purl", "").startswith("pkg:maven/")]
    named = {place["location"] for component in java for place in component["evidence"]["occurrences"]}
    there = in_container(f"{server.host}/team/{IMAGES[name]}", "find", folder, "-name", "*.jar").split()
    assert named == set(there)
    assert [component["name"] for component in java if not component.get("version")] == []
    assert [url for url in package_urls(document) if not url.startswith(("pkg:deb/", "pkg:maven/"))] == []


def test_modules_of_a_program_are_those_that_go_reads() -> None:
    program = tools.path("otelcol")
    modules: list[list[str]] = []
    for line in tool(["go", "version", "-m", str(program)]).stdout.splitlines()[1:]:
        kind, *fields = line.removeprefix("\t").split("\t")
        if kind in ("mod", "dep"):
            modules.append(fields[:2])
    read = {package.name: package.version for package in sbom.go(program.open("rb"), "otelcol")}
    assert len(modules) > 100
    assert read.pop("stdlib").startswith("1.")
    assert read == {name: version.replace("(devel)", "") for name, version in modules}


def test_the_digest_is_the_one_that_others_see_and_that_pods_get(
    server: RegistryServer, logged_in: Path, pushed: str
) -> None:
    done = obs(logged_in, "digests", "services", *to(server), *certs(server))
    assert done.returncode == 0, done.stderr
    images = Images.model_validate(yaml.safe_load(done.stdout)["images"])
    assert images.digests == {"services": pushed}
    reference = ImageCatalogue(**images.model_dump(exclude={"pull_secrets"})).full_name("services")
    assert reference == f"{server.host}/team/{IMAGES['services']}@{pushed}"
    assert inspected(server, logged_in, f"{server.host}/team/obs/services@{pushed}")["Digest"] == pushed


def test_digests_are_written_into_a_stack_file_and_nothing_else_is(
    server: RegistryServer, logged_in: Path, pushed: str, tmp_path: Path
) -> None:
    original = (CHECKOUT / "Pulumi.prod.yaml").read_text()
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(original)
    for _ in range(2):
        done = obs(logged_in, "digests", "services", *to(server), *certs(server), "--write", str(file))
        assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert text.replace(f"      digests:\n        services: {pushed}\n", "      digests: {}\n") == original
    settings = parse(yaml.safe_load(text)["config"]["observability:settings"], file.name)
    assert settings.images.digests == {"services": pushed}


def test_missing_images_are_named_and_the_exit_code_says_so(
    server: RegistryServer, logged_in: Path, pushed: str
) -> None:
    done = obs(logged_in, "digests", "services", "kafka", *to(server), *certs(server))
    assert done.returncode == 1
    assert f"not in {server.host}/team: kafka" in done.stderr
    assert yaml.safe_load(done.stdout)["images"]["digests"] == {"services": pushed}


@pytest.mark.parametrize("copier", [[], ["--tool", "buildah"]], ids=["skopeo", "buildah"])
def test_an_upstream_image_is_copied_once_and_stays_the_same(
    server: RegistryServer, logged_in: Path, pushed: str, copier: list[str]
) -> None:
    options = ["--authfile", str(logged_in), "--src-cert-dir", str(server.certs), "--dest-cert-dir", str(server.certs)]
    published = f"{server.host}/makers/{IMAGES['thanos']}"
    original = f"docker://{server.host}/team/obs/services@{pushed}"
    done = tool(["skopeo", "copy", "--quiet", *options, original, f"docker://{published}"])
    assert done.returncode == 0, done.stderr
    path = f"mirror-{len(copier)}"
    command = ["mirror", "thanos", *to(server, path), *certs(server), "--from", f"{server.host}/makers", *copier]
    command += ["--from-cert-dir", str(server.certs)]
    first, second = obs(logged_in, *command), obs(logged_in, *command)
    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert "already there" not in first.stderr
    assert f"already there, {DIGEST.findall(first.stderr)[0]}" in second.stderr
    copied = inspected(server, logged_in, f"{server.host}/{path}/{IMAGES['thanos']}")
    assert copied["Labels"] == inspected(server, logged_in, published)["Labels"]
    if not copier:
        assert copied["Digest"] == pushed


def test_a_registry_that_does_not_know_us_is_one_line(server: RegistryServer, built: str, tmp_path: Path) -> None:
    wrong = server.auth_file(tmp_path / "wrong.json", password="another")
    for auth, message in (
        (tmp_path / "none.json", f"registry {server.host} wants a login: run `TOOL login {server.host}`"),
        (wrong, f"registry {server.host} refuses the login to team/obs/services: run `TOOL login {server.host}`"),
    ):
        done = obs(auth, "push", "services", *to(server), *certs(server), "--tool", "buildah")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == f"error: {message}"


def test_an_authority_that_nobody_named_is_one_line(server: RegistryServer, logged_in: Path) -> None:
    done = obs(logged_in, "digests", "services", *to(server))
    assert done.returncode == 2
    assert f"error: the certificate of registry {server.host} is not trusted: name its authority with" in done.stderr


def test_an_image_that_was_not_built_is_one_line(server: RegistryServer, logged_in: Path) -> None:
    done = obs(logged_in, "push", "services", *to(server, "elsewhere"), *certs(server), "--tool", "buildah")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"error: {server.host}/elsewhere/{IMAGES['services']} is not built: run "
        f"`obs images build --registry {server.host}/elsewhere services`"
    )


def test_a_machine_without_a_tool_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, "-m", "ops", "images", "build", "services", "--registry", "registry.example.com"]
    done = tool(command, environment)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: docker is not on PATH; podman is not on PATH; buildah is not on PATH: install docker, podman or buildah"
    )
