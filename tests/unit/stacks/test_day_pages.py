"""docs/secrets.md and docs/upgrade.md name what there is: every name in them is one of the stacks', of the code or
of the checkout. That commands and their options exist, `tests/unit/ops/test_ops_documents.py` shows."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from components.storage_roles import StorageRole
from components.versions import IMAGES
from ops.__main__ import COMMANDS
from ops.checks.command import CHECKS
from ops.drills.run import DRILLS
from ops.evidence import files as evidence
from stacks import schema, sdk, secrets
from stacks.settings import CONFIG_NAMESPACE
from tests.support import engine, secret_tables

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / name for name in ("secrets.md", "upgrade.md")]
FOREIGN = frozenset(
    {
        "fail",
        "stale",
        "replace",
        "given",
        "push",
        "mirror",
        "describe",
        "metadata.version",
        "4.2",
        "4.3",
        "1",
        "main",
        "R",
        "RandomPassword",
        "authority",
        "client_cidrs",
        "backups-access.json",
        "keystore.p12",
        "tls.key",
        "tls.crt",
        "ca.crt",
        "postgresql-client-15",
        "upgrade --dry-run",
    }
)
"""Words that are no name of ours: of Pulumi, of cert-manager, of Kafka, of Debian, and of the pages' own tables."""
COMMAND = re.compile(r"(python -m ops|ops|obs|pulumi|kubectl|git|make|pip|grafana cli) ")
OPTIONS = {"--replace", "--target-replace", "--path", "--roll", "--finish", "--finish --anyway", "--quiet SECONDS"}
_PULUMI = re.compile(r"pulumi ([a-z]+)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")


def words(page: Path) -> list[str]:
    """Every name on a page, outside of blocks of shell and of generated tables."""
    text = page.read_text(encoding="utf-8")
    for expression in (secret_tables.BLOCK, _FENCED):
        text = expression.sub("", text)
    return sorted(set(_INLINE.findall(text)))


def settings(node: Any, path: str = "", depth: int = 7) -> Iterator[str]:
    """Every key of the stack file, with dots between."""
    definitions = _schema()["$defs"]
    while "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    for key, below in node.get("properties", {}).items():
        yield f"{path}{key}"
        if depth:
            yield from settings(below, f"{path}{key}.", depth - 1)
    for choice in node.get("anyOf", ()):
        yield from settings(choice, path, depth)


@functools.cache
def _schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(schema.text())
    return loaded


@functools.cache
def known() -> frozenset[str]:
    """Names that there are."""
    names: set[str] = {*IMAGES, *CHECKS, *COMMANDS, *evidence.catalog().evidence, *FOREIGN, *OPTIONS}
    names |= {drill.name for drill in DRILLS} | {image.partition(":")[0] for image in IMAGES.values()}
    names |= {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")}
    names |= {secrets.SECRETS_KEY, secrets.DIRECTORY_KEY, secrets.IDENTITY_KEY, secrets.STORAGE_KEY}
    names |= {secrets.WITNESS_KEY, secrets.DATABASE_KEY, secrets.OIDC_KEY, secrets.RECIPIENTS_KEY}
    names |= {secrets.CLUSTER_AUDIT_KEY, secrets.ROLES_KEY, *map(str, StorageRole)}
    names |= {f"{secrets.DATABASE_KEY}.{name}" for name in secrets.DATABASE_NAMES}
    names |= {f"{secrets.OIDC_KEY}.{name}" for name in secrets.OIDC_NAMES}
    names.add(sdk.DEBUG)
    config = _schema()["properties"]["config"]["properties"]
    names |= set(settings(config[f"{CONFIG_NAMESPACE}:settings"]))
    for recording in (*map(engine.recorded, secret_tables.STACKS), engine.sharded()):
        names |= {manifest["metadata"]["name"] for manifest in recording.manifests()}
        names |= {manifest["spec"]["secretName"] for manifest in recording.kinds("Certificate")}
        names |= set(secret_tables.passwords(recording)) | set(recording.outputs)
        names |= set(recording.outputs["kafka_users"])
    return frozenset(names)


def exists(word: str) -> bool:
    """Whether a name is one of those, or a file; capital letters and `*` stand for any part of one."""
    if word in known() or (ROOT / word).exists():
        return True
    pattern = _PLACEHOLDER.sub("*", word)
    return "*" in pattern and any(fnmatchcase(name, pattern) for name in known())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_on_the_page_exists(page: Path) -> None:
    assert [word for word in words(page) if not COMMAND.match(word) and not exists(word)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pulumi_is_told_what_it_knows(page: Path) -> None:
    asked_for = set(_PULUMI.findall(page.read_text(encoding="utf-8")))
    assert asked_for <= {"up", "preview", "stack", "config"}


@pytest.mark.parametrize("word", ["kafka-user-nobody", "no-such-secret", "regions.nothing", "docs/no.md", "nobody-*"])
def test_a_name_that_does_not_exist_is_noticed(word: str) -> None:
    assert not exists(word)


def parts() -> list[list[str]]:
    """Cells of each row of the table of parts."""
    section = PAGES[1].read_text(encoding="utf-8").partition("## The parts")[2].partition("\n### ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table]


def test_every_workload_is_in_one_part_and_marked_where_it_is_away_for_a_moment() -> None:
    named = [mention for row in parts() for mention in re.findall(r"`([^`]+)`(\*?)", row[1])]
    for stack in ("prod", "dr"):
        for manifest in engine.recorded(stack).kinds("StatefulSet", "Deployment", "DaemonSet"):
            name, spec = manifest["metadata"]["name"], manifest["spec"]
            marks = [mark for mention, mark in named if fnmatchcase(name, mention)]
            ends_first = manifest["kind"] == "StatefulSet" or spec.get("strategy", {}).get("type") == "Recreate"
            assert marks == ["*" if spec.get("replicas") == 1 and ends_first else ""], name


def test_rows_and_drills_of_a_part_exist() -> None:
    drills = {drill.name for drill in DRILLS}
    for row in parts():
        if len(row) > 4:
            assert set(row[3].split(", ")) <= CHECKS.keys() | {""}, row[0]
            assert set(_INLINE.findall(row[4])) <= drills, row[0]
