"""docs/install.md is followed as it stands: its lines, what of the stack file is its reader's own, and a shell."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from lab import LabError, environment, install_page
from lab.cluster import lifecycle, network
from lab.install_page import Shell, adapted, kubeconfig, typed
from lab.paths import CHECKOUT, LabPaths
from ops.evidence import files as evidence
from stacks.settings import parse

PAGE = (CHECKOUT / install_page.PAGE).read_text(encoding="utf-8")
STACK_FILE = (CHECKOUT / "Pulumi.kind.yaml").read_text(encoding="utf-8")
SECTION = """# A page

## kind
Text.

```sh
kind create cluster  # a cluster
pulumi config set --secret a:b < file.json

pulumi up
```

```sh
never
```

## Another
```sh
nor this
```
"""
DIGEST = f"sha256:{'0' * 64}"
FORWARD = """import pathlib, signal, sys, time
print("grafana: https://localhost:1/")
print(f"authority of its certificate: {pathlib.Path('ca.pem').resolve()} (browsers)", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("closed", flush=True)
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setattr(network, "enter", lambda _: [])
    return Shell(tmp_path, "x", {"PATH": "/usr/bin:/bin"})


def test_the_first_block_of_a_section_is_typed_without_its_comments() -> None:
    assert typed(SECTION) == ["kind create cluster", "pulumi config set --secret a:b < file.json", "pulumi up"]


@pytest.mark.parametrize("section", ["Another one", "kin"])
def test_a_section_without_a_block_is_told(section: str) -> None:
    with pytest.raises(LabError, match=rf"docs/install\.md: the section {section} has no block of shell"):
        typed(SECTION, section)


def test_the_page_makes_an_environment_checks_brings_up_and_opens_a_page() -> None:
    lines = typed(PAGE)
    heads = [
        "kind create",
        "python3.11 -m venv",
        "pip install",
        "pulumi stack select",
        "python -m ops up --context kind-obs",
        "python -m ops open",
    ]
    places = [next(number for number, line in enumerate(lines) if line.startswith(head)) for head in heads]
    assert places == sorted(places)


@pytest.mark.parametrize(("section", "stack"), [("kind", "kind"), ("First, on your machine", "NAME")])
def test_pulumi_has_a_backend_and_a_passphrase_before_a_stack_is_made_and_that_before_secrets_are_set(
    section: str, stack: str
) -> None:
    lines = typed(PAGE, section)
    select = lines.index(f"pulumi stack select --create {stack}")
    login = next(number for number, line in enumerate(lines) if line.startswith("pulumi login "))
    assert lines[login - 1] == "export PULUMI_CONFIG_PASSPHRASE_FILE=~/.obs/passphrase"
    assert lines[login - 2].endswith(" > ~/.obs/passphrase)")
    assert login < select
    assert not [line for line in lines[:select] if line.startswith(("pulumi config", "python -m ops"))]
    after = PAGE.partition(f"\npulumi stack select --create {stack}")[2]
    assert "\npulumi config set --secret" in after or "`pulumi config set --secret " in after


def test_what_is_set_in_order_comes_after_the_stack_that_it_is_set_in() -> None:
    headings = ("First, on your machine", "Images", "What to set, in order", "What to run")
    places = [PAGE.index(f"\n## {heading}\n") for heading in headings]
    assert places == sorted(places)
    first, *lines = typed(PAGE, "What to run")
    assert first == ". .venv/bin/activate && export PULUMI_CONFIG_PASSPHRASE_FILE=~/.obs/passphrase"
    assert lines[0] == "pulumi stack select NAME"


def test_the_lines_about_pulumi_make_one_passphrase_and_find_their_backend(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "pulumi").write_text('#!/bin/sh\necho "$@" with "$PULUMI_CONFIG_PASSPHRASE_FILE"\n')
    (tmp_path / "pulumi").chmod(0o700)
    (tmp_path / "python").symlink_to(sys.executable)
    shell.variables |= {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    lines = typed(PAGE)
    login = next(number for number, line in enumerate(lines) if line.startswith("pulumi login "))
    passphrase = tmp_path / ".obs" / "passphrase"
    passphrases: set[str] = set()
    for _ in range(2):
        told = [shell.type(line) for line in lines[login - 2 : login + 1]]
        assert told == ["", "", f"login file://{tmp_path}/.obs/state with {passphrase}\n"]
        passphrases.add(passphrase.read_text())
        assert passphrase.stat().st_mode & 0o777 == 0o600
    assert [len(text.strip()) for text in passphrases] == [43]
    assert (tmp_path / ".obs" / "state").stat().st_mode & 0o777 == 0o700


def test_what_is_the_readers_own_is_the_labs_in_the_copy() -> None:
    content = adapted(STACK_FILE, {"kafka": DIGEST})
    for theirs in install_page.OURS:
        assert theirs not in content
    lab = yaml.safe_load((CHECKOUT / "Pulumi.local.yaml").read_text())["config"]["observability:settings"]
    settings = yaml.safe_load(content)["config"]["observability:settings"]
    assert settings["images"] == {**lab["images"], "digests": {"kafka": DIGEST}}
    assert settings["storage"]["storage_class"] == lab["storage"]["storage_class"]
    assert settings["object_storage"]["endpoint"] == lab["object_storage"]["endpoint"]
    assert settings["namespace"] == install_page.NAMESPACE
    assert settings["object_storage"]["bucket"] == install_page.BUCKET
    assert settings["cluster"]["context"] == install_page.CONTEXT
    parse(settings, "Pulumi.kind.yaml")


def test_a_stack_file_that_says_it_otherwise_is_told() -> None:
    with pytest.raises(LabError, match=r"Pulumi\.kind\.yaml has no 172\.18\.0\.0/16 any more"):
        adapted(STACK_FILE.replace("172.18.0.0/16", "172.19.0.0/16"), {})


def test_the_clusters_context_is_named_as_kind_names_it() -> None:
    content = {"contexts": [{"name": "obs-lab", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u"}]}
    copied = kubeconfig(content)
    assert copied["current-context"] == "kind-obs"
    assert copied["contexts"] == [{"name": "kind-obs", "context": {"cluster": "c", "user": "u"}}]
    assert copied["users"] == [{"name": "u"}]
    assert kubeconfig(content, "a-token")["users"] == [{"name": "u", "user": {"token": "a-token"}}]


def test_what_a_line_exports_the_next_one_has(shell: Shell) -> None:
    shell.type("export WORD='two\nlines' && cd /")
    assert shell.type('echo "$WORD in $PWD"') == f"two\nlines in {shell.folder}\n"
    assert set(shell.taken) == {"export WORD='two\nlines' && cd /", 'echo "$WORD in $PWD"'}


def test_a_line_that_fails_ends_the_run(shell: Shell) -> None:
    with pytest.raises(LabError, match=r"^`false` failed with exit code 1: see above$"):
        shell.type("false")


def test_a_line_that_does_not_end_is_ended_with_all_that_it_started(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_page, "_LINE_LIMIT_S", 0.5)
    with pytest.raises(LabError, match="did not end within"):
        shell.type("sleep 300 & wait")


def test_a_page_is_looked_at_and_closed_by_ctrl_c(shell: Shell, capfd: pytest.CaptureFixture[str]) -> None:
    (shell.folder / "forward.py").write_text(FORWARD)
    (shell.folder / "ca.pem").write_text("")
    with pytest.raises(LabError, match=r"^https://localhost:1/ does not answer: curl: \(\d+\)"):
        shell.open(f"{sys.executable} forward.py")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (set(), ""),
        ({"obs-local"}, "obs-local: two platforms do not fit"),
        ({"obs-kind"}, "obs-kind: a run was interrupted"),
    ],
)
def test_it_is_refused_beside_a_platform_of_the_lab(
    names: set[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "namespace_exists", lambda _: True)
    monkeypatch.setattr(lifecycle, "namespaces", lambda _: {"default", *names})
    monkeypatch.setattr(install_page, "_variables", lambda *_: (_ for _ in ()).throw(LabError("went on")))
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    with pytest.raises(LabError, match=line or "went on"):
        install_page.follow(LabPaths("x"))


def test_the_readers_environment_has_nothing_of_the_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PULUMI_STACK", "OBS_EVIDENCE_SCOPE", "PYTHONPATH", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "the lab's")
    monkeypatch.setattr(install_page.tools, "path", lambda name: Path("/tools") / name)
    variables = install_page._variables(LabPaths("x"), tmp_path)
    assert "the lab's" not in variables.values()
    assert variables["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert not {"PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"} & {*variables}, "the page tells both"


def test_evidence_of_it_is_in_the_catalog() -> None:
    assert install_page.EVIDENCE in evidence.catalog().evidence
    assert environment.STACK != install_page.STACK
