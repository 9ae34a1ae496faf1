"""The review for real: git, worktrees, programs in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.backups.config import Kind
from components.signin import LOGINS
from ops import __main__ as cli
from ops.core.errors import OpsError
from ops.review import comment, evaluate
from ops.review import review as review_module
from ops.review.comment import render
from ops.review.model import Planned, StackPlan
from ops.review.review import Repository, Review, run
from policy.model import UNKNOWN, Level, Resource
from policy.runner import Verdict
from tests.support.engine import CHECKOUT, PASSWORD, recorded
from tests.unit.ops.test_ops_review_comment import RULE

PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
from kept import settings

config = pulumi.Config("demo")
password = random.RandomPassword("login", length=settings.LENGTH, special=False)
other = pulumi.StackReference("organization/demo/other")
print("a program may print")
k8s.core.v1.ConfigMap(
    "files",
    metadata={"name": "files", "namespace": "demo"},
    data={"a.yaml": config.require("text"), "stack": pulumi.get_stack(), "later": other.get_output("x")},
)
k8s.core.v1.Secret(
    "login",
    metadata={"name": "login", "namespace": "demo"},
    string_data={"password": password.result, "token": config.require_secret("token"), "hash": password.bcrypt_hash},
)
k8s.core.v1.Secret.get("read", "demo/read")
k8s.core.v1.Namespace("demo", metadata={"name": "demo"}, opts=pulumi.ResourceOptions(protect=True))
"""

SMALL_PROGRAM = """
import pulumi
from kept import settings

data = {"length": str(settings.LENGTH)}
pulumi.CustomResource("kubernetes:core/v1:ConfigMap", "files", {"metadata": {"name": "files"}, "data": data})
"""
"""Imports no SDK of a provider, which takes longer than all else of an evaluation."""


class Checkout:
    """A small project in a git repository."""

    def __init__(self, root: Path, program: str) -> None:
        self.root = root
        self.git("init", "-q", "-b", "main")
        self.write("Pulumi.yaml", "name: demo\nruntime: python\n")
        self.write("Pulumi.test.yaml", "config:\n  demo:text: 'a: 1'\n  demo:token: {secure: v1:abc}\n")
        self.write("__main__.py", program)
        self.write("kept/__init__.py", "")
        self.write("kept/settings.py", "LENGTH = 32\n")
        self.write("CODEOWNERS", "* @demo/all\n")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        names = {
            f"GIT_{who}_{what}": "demo@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env={**os.environ, **names}, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, file: str, text: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def review(self, base: str = "HEAD") -> Review:
        return run(self.root, base, checker=lambda resources, config: [])


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A project of one commit."""
    return Checkout(tmp_path, PROGRAM)


@pytest.fixture
def small(tmp_path: Path) -> Checkout:
    """A project of one commit, for what does not depend on its program."""
    return Checkout(tmp_path, SMALL_PROGRAM)


@pytest.fixture(scope="module")
def small_plan(tmp_path_factory: pytest.TempPathFactory) -> StackPlan:
    """What the small program plans, evaluated for real."""
    return review_module.plan(Checkout(tmp_path_factory.mktemp("small"), SMALL_PROGRAM).root, "test", "here")


@pytest.fixture
def unchanged(small: Checkout, small_plan: StackPlan, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A project whose program is the same at every revision, so that nobody needs to evaluate it again."""
    monkeypatch.setattr(review_module, "plan", lambda root, stack, called: small_plan)
    return small


def _of(plan: StackPlan, kind: str, name: str) -> Planned:
    return next(
        planned for planned in plan.planned.values() if (planned.resource.kind, planned.resource.name) == (kind, name)
    )


def test_a_program_is_evaluated_without_engine_or_cluster(checkout: Checkout) -> None:
    plan = review_module.plan(checkout.root, "test", "here")
    files, login = _of(plan, "ConfigMap", "files"), _of(plan, "Secret", "login")
    assert files.resource.props["data"] == {"a.yaml": "a: 1", "stack": "test", "later": UNKNOWN}
    assert files.urn == "urn:pulumi:test::demo::kubernetes:core/v1:ConfigMap::files"
    assert _of(plan, "Namespace", "demo").protect
    assert _of(plan, "Secret", "read").read
    assert "read" not in [resource.name for resource in plan.resources]
    secrets = login.resource.props["stringData"]
    assert all(value.startswith("placeholder") for key, value in secrets.items() if key != "hash")
    assert secrets["hash"].startswith("$2a$10$placeholder")
    assert len(secrets["password"]) == 32
    assert login.secret(("stringData", "token"))
    # A password is the same in every evaluation until its inputs change, as those of the next test do.
    again = _of(review_module.plan(checkout.root, "test", "here"), "Secret", "login")
    assert again.resource.props["stringData"] == secrets


def test_a_change_is_reviewed_against_its_base_with_the_code_of_each(checkout: Checkout) -> None:
    checkout.write("Pulumi.test.yaml", "config:\n  demo:text: 'a: 2'\n  demo:token: {secure: v1:def}\n")
    checkout.write("kept/settings.py", "LENGTH = 40\n")
    checkout.write("new.py", "")
    review = checkout.review()
    text = render(review)
    assert "  - `a.yaml: a`: `1` → `2`" in text
    assert "`stringData.password`: changes (secret, not shown)" in text
    assert "placeholder" not in text
    assert "password login is made anew" in text
    assert review.files == ["Pulumi.test.yaml", "kept/settings.py", "new.py"]
    assert review.owners == {("@demo/all",): review.files}
    assert review.head.endswith("with 3 uncommitted files")


def test_only_what_happened_since_the_branch_began_counts(unchanged: Checkout) -> None:
    unchanged.git("switch", "-q", "-c", "feature")
    unchanged.write("feature.md", "")
    unchanged.commit("on the branch")
    unchanged.git("switch", "-q", "main")
    unchanged.write("main.md", "")
    unchanged.commit("on main meanwhile")
    unchanged.git("switch", "-q", "feature")
    assert unchanged.review("main").files == ["feature.md"]


def test_owners_are_those_before_the_change_and_nothing_is_left_of_the_worktree(small: Checkout) -> None:
    small.write("CODEOWNERS", "* @demo/only-me\n")
    assert small.review().owners == {("@demo/all",): ["CODEOWNERS"]}
    assert small.git("worktree", "list").count("\n") == 0
    assert small.git("status", "--porcelain") == "M CODEOWNERS"


def test_a_new_stack_is_all_added_and_a_removed_one_all_removed_also_before_this_command_was_there(
    small: Checkout,
) -> None:
    assert not (small.root / "ops").exists()
    (small.root / "Pulumi.test.yaml").rename(small.root / "Pulumi.more.yaml")
    review = small.review()
    assert [(stack.name, {str(change.kind) for change in stack.changes}) for stack in review.stacks] == [
        ("more", {"added"}),
        ("test", {"removed"}),
    ]


@pytest.mark.parametrize("base", ["nowhere", "--help", ""])
def test_an_unknown_base_is_one_line(small: Checkout, base: str) -> None:
    with pytest.raises(OpsError, match=f"^BASE is '{base}': git knows no such revision; name a commit, branch or tag"):
        small.review(base)


def test_a_base_without_a_common_commit_is_one_line(small: Checkout) -> None:
    small.git("switch", "-q", "--orphan", "elsewhere")
    small.write("a.md", "")
    small.commit("a beginning of its own")
    with pytest.raises(OpsError, match=r"^BASE is 'main': it has no commit in common with HEAD"):
        small.review("main")


def test_an_unfinished_merge_is_one_line(small: Checkout) -> None:
    small.git("switch", "-q", "-c", "other")
    small.write("kept/settings.py", "LENGTH = 20\n")
    small.commit("theirs")
    small.git("switch", "-q", "main")
    small.write("kept/settings.py", "LENGTH = 10\n")
    small.commit("ours")
    small.git("merge", "-q", "other")
    with pytest.raises(OpsError, match=r"^a merge is not finished: conflicts in kept/settings.py; resolve them"):
        small.review()


def test_a_folder_that_is_no_checkout_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"is not a git checkout: run the review inside one$"):
        Repository(tmp_path).base("main")


def test_a_program_that_is_broken_at_the_base_is_one_line(small: Checkout) -> None:
    small.write("kept/settings.py", "LENGTH = 1 / 0\n")
    small.commit("broken")
    small.write("kept/settings.py", "LENGTH = 32\n")
    with pytest.raises(OpsError) as refusal:
        small.review("HEAD")
    text = str(refusal.value)
    assert text.startswith("the program of BASE HEAD (")
    assert text.endswith("fails for stack test: ZeroDivisionError: division by zero (settings.py:1)")
    assert "\n" not in text


def test_a_program_that_is_broken_now_is_one_line(small: Checkout) -> None:
    small.write("kept/settings.py", "import pulumi\nraise pulumi.RunError('settings.a is 1: allowed is 2')\n")
    with pytest.raises(OpsError) as refusal:
        small.review()
    assert str(refusal.value) == "the program of the working tree fails for stack test: settings.a is 1: allowed is 2"


def test_a_policy_that_fails_is_one_line(unchanged: Checkout) -> None:
    def broken(resources: list[Resource], config: Mapping[str, Any]) -> list[Verdict]:
        raise KeyError("x")

    with pytest.raises(OpsError, match=r"^a policy cannot judge stack test: KeyError: 'x' \(test_ops_review_run.py:"):
        run(unchanged.root, "HEAD", checker=broken)


def test_the_command_prints_the_comment_and_tells_by_its_exit_code(
    unchanged: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def open_to_all(resources: list[Resource], config: Mapping[str, Any]) -> list[Verdict]:
        return [Verdict(rule=RULE, resource=None, finding=None, level=Level.MANDATORY, message="stack: open")]

    monkeypatch.setattr(comment, "PROJECT", unchanged.root)
    monkeypatch.setattr(run, "__kwdefaults__", {**run.__kwdefaults__, "checker": open_to_all})
    shown = CliRunner().invoke(cli.app, ["review", "HEAD"])
    assert shown.exit_code == 1
    assert shown.stdout.startswith("<!-- obs-platform review -->\n## Review: ")
    monkeypatch.setattr(run, "__kwdefaults__", {**run.__kwdefaults__, "checker": lambda resources, config: []})
    file = tmp_path.parent / f"{tmp_path.name}.md"
    quiet = CliRunner().invoke(cli.app, ["review", "HEAD", "--output", str(file)])
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    assert file.read_text().startswith("<!-- obs-platform review -->")


def test_mistakes_of_the_command_are_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "review", "no-such-revision"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: BASE is 'no-such-revision': git knows no such")


def test_an_output_that_cannot_be_written_is_one_line(unchanged: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comment, "PROJECT", unchanged.root)
    monkeypatch.setattr(run, "__kwdefaults__", {**run.__kwdefaults__, "checker": lambda resources, config: []})
    with pytest.raises(OpsError, match=r"^--output is .*: it cannot be written"):
        comment.review("HEAD", output=unchanged.root / "no" / "folder.md", config=None)


@pytest.mark.parametrize("stack", ["local", "prod", "dr"])
def test_the_platform_is_evaluated_as_the_recording_engine_of_the_tests_does(stack: str) -> None:
    plan = review_module.plan(CHECKOUT, stack, "here")
    expected = {(resource.token, resource.name): resource.inputs for resource in recorded(stack).resources}
    properties = {
        (planned.resource.type, planned.resource.name): planned.resource.props for planned in plan.planned.values()
    }
    assert set(properties) == set(expected)
    passwords = json.dumps([properties[key] for key in properties if key[0] == PASSWORD])
    assert "placeholder" not in passwords
    # The bundle holds the authority's certificate, for which each engine has its own text; whether the receivers of
    # alerts, the directory and the storages have authorities of their own is among the secrets, which a review lacks,
    # like the public keys of backups and what the other region has said.
    encrypted = ("backup-exporter", "kafka-archive", *(f"backup-{kind}" for kind in Kind))
    apart = (
        "trust-bundle",
        "alertmanager",
        "grafana",
        "reports",
        "report-server",
        "failover-agent",
        "mirror-maker",
        *LOGINS,
        *encrypted,
    )
    files = [key for key in properties if key[0] == "kubernetes:core/v1:ConfigMap" and key[1] not in apart]
    assert files
    assert {key: properties[key]["data"] for key in files} == {key: expected[key]["data"] for key in files}
    assert plan.thresholds
    assert plan.rules


def test_the_file_that_is_evaluated_elsewhere_imports_nothing_of_the_project() -> None:
    text = Path(evaluate.__file__).read_text()
    assert not [line for line in text.splitlines() if line.startswith(("from ops", "import ops", "from policy"))]
