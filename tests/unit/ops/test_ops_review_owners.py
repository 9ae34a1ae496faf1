"""Who must approve."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ops.review.review import OwnerRule, owner_rules, required_owners

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("pattern", "file", "fits"),
    [
        ("*", "a", True),
        ("*", "a/b.py", True),
        ("*.py", "a/b.py", True),
        ("*.py", "a/b.pyc", False),
        ("/a.py", "a.py", True),
        ("/a.py", "b/a.py", False),
        ("docs/", "docs/a/b.md", True),
        ("docs/", "x/docs/a.md", True),
        ("/docs/", "x/docs/a.md", False),
        ("/docs/*", "docs/a.md", True),
        ("/docs/*", "docs/a/b.md", False),
        ("/docs/**", "docs/a/b.md", True),
        ("/docs", "docs/a/b.md", True),
        ("/docs", "docsy/a.md", False),
        ("/a/**/rules*.py", "a/rules.py", True),
        ("/a/**/rules*.py", "a/b/c/rules_more.py", True),
        ("/a/**/rules*.py", "a/b/c/other.py", False),
        ("**/dashboards/", "a/dashboards/x.json", True),
        ("**/dashboards/", "dashboards/x.json", True),
        ("/Pulumi.*.yaml", "Pulumi.prod.yaml", True),
        ("/Pulumi.*.yaml", "Pulumi.yaml", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
    ],
)
def test_patterns_fit_as_in_the_forge(pattern: str, file: str, fits: bool) -> None:
    assert OwnerRule(pattern, ()).fits(file) is fits


def test_the_last_line_that_fits_decides() -> None:
    rules = owner_rules("# who\n\n* @all\n/policy/ @security  # rules\n/policy/notes.md\n/with\\ space.md @a @b\n")
    owners = required_owners(rules, ["README.md", "policy/a.py", "policy/notes.md", "with space.md"])
    assert owners == {
        (): ["policy/notes.md"],
        ("@a", "@b"): ["with space.md"],
        ("@all",): ["README.md"],
        ("@security",): ["policy/a.py"],
    }


@pytest.mark.parametrize(
    ("file", "team"),
    [
        ("components/telemetry/thresholds.yaml", "@example-org/operations"),
        ("components/kafka/rules.py", "@example-org/operations"),
        ("components/grafana/dashboards/overview.py", "@example-org/operations"),
        ("components/kafka/access.py", "@example-org/security"),
        ("stacks/platform.py", "@example-org/security"),
        ("policy/rules/tls.py", "@example-org/security"),
        ("policy/exceptions.yaml", "@example-org/security"),
        ("Pulumi.prod.yaml", "@example-org/security"),
        (".github/workflows/review.yml", "@example-org/security"),
        ("CODEOWNERS", "@example-org/security"),
        ("lab/__main__.py", "@example-org/platform"),
    ],
)
def test_what_matters_has_its_owner(file: str, team: str) -> None:
    owners = required_owners(owner_rules((ROOT / "CODEOWNERS").read_text()), [file])
    assert team in next(iter(owners))


def test_every_file_of_the_checkout_has_an_owner() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert () not in required_owners(owner_rules((ROOT / "CODEOWNERS").read_text()), [file for file in files if file])
