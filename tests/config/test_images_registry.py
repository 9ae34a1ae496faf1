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
import yaml

from components.versions import IMAGES, ImageCatalogue
from lab.paths import CHECKOUT
from lab.toolchain import containers
from stacks.part_settings import Images
from stacks.settings import parse
from tests.config.registry_process import RegistryServer, registry

pytestmark = pytest.mark.drill

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LIMIT_S = 900


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def logged_in(server: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return server.auth_file(tmp_path_factory.mktemp("login") / "auth.json")


@pytest.fixture(scope="module")
def built(server: RegistryServer, logged_in: Path) -> str:
    """The image of our programs, built for the registry, on this machine's own base."""
    base = containers.base_image()
    done = obs(logged_in, "build", "services", *to(server), "--tool", "buildah", "--build-arg", f"BASE={base}")
    assert done.returncode == 0, done.stderr
    assert f"[1/1] {IMAGES['services']}: building with buildah ..." in done.stderr
    return f"{server.host}/team/{IMAGES['services']}"


@pytest.fixture(scope="module")
def pushed(server: RegistryServer, logged_in: Path, built: str) -> str:
    """Digest under which the registry has that image."""
    done = obs(logged_in, "push", "services", *to(server), *certs(server), "--tool", "buildah")
    assert done.returncode == 0, done.stderr
    return DIGEST.findall(done.stderr)[0]


def to(server: RegistryServer, path: str = "team") -> tuple[str, str]:
    return "--registry", f"{server.host}/{path}"


def certs(server: RegistryServer) -> tuple[str, str]:
    return "--cert-dir", str(server.certs)


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


def test_what_the_registry_has_already_is_not_sent_again(server: RegistryServer, logged_in: Path, pushed: str) -> None:
    done = obs(logged_in, "push", "services", *to(server), *certs(server), "--tool", "buildah")
    assert done.returncode == 0, done.stderr
    assert f"already there, {pushed}" in done.stderr


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
