"""`obs images`: where logins are found, which tool is taken, what is written into a stack file, and mistakes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
import yaml

from components.versions import IMAGES, OURS, UPSTREAM
from ops.core.errors import OpsError
from ops.core.kube import wait_until
from ops.images import command
from ops.images.catalogue import chosen, upstream
from ops.images.command import block, written
from ops.images.registry import Registry, authority, login

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has logged in."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_login_is_found_where_each_tool_keeps_it(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert login("a.example:5000") is None
    write(home / ".docker" / "config.json", {"auths": {"https://a.example:5000": auth("docker", "x:y")}})
    assert login("a.example:5000") == ("docker", "x:y")
    write(home / "run" / "containers" / "auth.json", {"auths": {"a.example:5000": auth("podman", "z")}})
    assert login("a.example:5000") == ("podman", "z")
    write(tmp_path / "named.json", {"auths": {"a.example:5000": auth("named", "n")}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "named.json"))
    assert login("a.example:5000") == ("named", "n")
    assert login("b.example") is None


def test_the_login_at_docker_hub_has_a_name_of_its_own(home: Path) -> None:
    write(home / ".docker" / "config.json", {"auths": {"https://index.docker.io/v1/": auth("hub", "h")}})
    assert login("docker.io") == ("hub", "h")
    assert login("quay.io") is None


def test_a_helper_is_asked_for_the_registries_that_it_keeps(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".docker" / "config.json", {"credHelpers": {"a.example": "cloud", "b.example": "absent"}})
    answer = '{"Username": "AWS", "Secret": "\'"$(cat)"\'"}'
    program(tmp_path / "bin", "docker-credential-cloud", f"""echo '{answer}'""")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert login("a.example") == ("AWS", "a.example")
    assert login("c.example") is None
    with pytest.raises(OpsError, match=r"kept by docker-credential-absent, which is not on PATH: install it"):
        login("b.example")


@pytest.mark.parametrize("text", ["{", '{"auths": {"a.example": {"auth": "no base64"}}}'])
def test_a_file_of_logins_that_cannot_be_read_is_one_line(home: Path, text: str) -> None:
    write(home / ".docker" / "config.json", {})
    (home / ".docker" / "config.json").write_text(text)
    with pytest.raises(OpsError, match=r"config\.json (cannot be read|holds a login that cannot be read)"):
        login("a.example")


def test_a_tool_that_does_not_answer_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    program(folder, "docker", "echo 'Cannot connect to the Docker daemon.' >&2; exit 1")
    program(folder, "buildah", "echo buildah 1.28")
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    assert command.find_tool(None).name == "buildah"
    with pytest.raises(
        OpsError, match=r"^docker does not work: Cannot connect to the Docker daemon\.: install docker,"
    ):
        command.find_tool("docker")
    with pytest.raises(OpsError, match=r"^tool kaniko: unknown; allowed: docker, podman, buildah$"):
        command.find_tool("kaniko")


def test_a_command_that_takes_too_long_ends_with_what_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    with pytest.raises(OpsError, match=r"^sh -c took over 5 s and was ended$"):
        command.run_tool(["sh", "-c", f"sleep 600 & echo $! > {child}; wait"], limit_s=5)
    state = Path("/proc") / child.read_text().strip() / "stat"

    def ended() -> bool:
        try:
            return state.read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    # What is killed still needs a moment of a busy processor to end.
    wait_until(ended, 30, "the child has ended", 0.05)


def test_what_fails_says_its_last_words_and_a_refused_login_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"^sh -c failed: step 2 no space left; the rest: /\S+\.log$") as failure:
        command.run_tool(["sh", "-c", "echo step 1 >&2; echo step 2 >&2; echo no space left >&2; exit 1"], limit_s=60)
    log = Path(str(failure.value).rpartition(" ")[2])
    assert "step 1" in log.read_text()
    log.unlink()
    program(tmp_path / "bin", "push", "echo 'unauthorized: authentication required' >&2; exit 1")
    with pytest.raises(OpsError, match=r"^registry a\.example:5000 refuses the login: run `\S+ login a\.example:5000`"):
        command.run_tool([str(tmp_path / "bin" / "push"), "a.example:5000/obs/kafka:4"], limit_s=60)


def test_images_are_chosen_by_name_and_by_group() -> None:
    assert [image.name for image in chosen([])] == list(IMAGES)
    assert [image.name for image in chosen([], only=OURS)] == [image.name for image in chosen([OURS])]
    assert {image.name for image in chosen([UPSTREAM])} == set(upstream())
    assert [image.name for image in chosen(["services", "kafka", "services"])] == ["kafka", "services"]
    with pytest.raises(OpsError, match=r"^image nginx: unknown; allowed: obs, upstream, alertmanager, "):
        chosen(["nginx"])
    with pytest.raises(OpsError, match=r"^image thanos: published by its makers; `obs images mirror` copies it$"):
        chosen(["thanos"], only=OURS)
    with pytest.raises(OpsError, match=r"^image kafka: built from this repository; `obs images build` and `push`"):
        chosen(["kafka"], only=UPSTREAM)


def test_digests_that_are_there_stay_and_comments_elsewhere_too() -> None:
    text = (
        "config:\n  observability:settings:\n    images:\n      registry: a.example  # ours\n"
        f"      digests:\n        thanos: {DIGEST}\n        kafka: {DIGEST}\n    load: 1  # a comment\n"
    )
    changed = written(text, {"kafka": OTHER, "services": OTHER}, "Pulumi.x.yaml")
    images = yaml.safe_load(changed)["config"]["observability:settings"]["images"]
    assert images["digests"] == {"thanos": DIGEST, "kafka": OTHER, "services": OTHER}
    assert "registry: a.example  # ours\n" in changed
    assert changed.endswith("    load: 1  # a comment\n")
    assert written(changed, {"kafka": OTHER}, "Pulumi.x.yaml") == changed
    assert yaml.safe_load(block("a.example", {})) == {"images": {"registry": "a.example", "digests": {}}}
    with pytest.raises(OpsError, match=r"^Pulumi\.x\.yaml has no images\.digests: add `digests: \{\}` under images"):
        written("config:\n  a: 1\n", {"kafka": OTHER}, "Pulumi.x.yaml")


def test_a_registry_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"^registry 127\.0\.0\.1:1 does not answer: "):
        Registry("127.0.0.1:1/obs").manifest("obs/kafka", "1")
    with pytest.raises(OpsError, match=r"ca\.crt is not there: --cert-dir is a folder with the authority in ca\.crt"):
        authority("a.example", tmp_path)
