"""Names that were replaced by standard terms do not come back: in code, settings, metrics, alerts, commands, pages."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RETIRED = {
    "search_keeper, search-keeper, SearchKeeper": "index_manager",
    "backup_keeper, backup-keeper, BackupKeeper": "backup_exporter",
    "region_guard, region-guard, RegionGuard": "failover_agent",
    "report_shelf, report-shelf, ReportShelf": "report_server",
    "grafana_double, grafana-double, identity_double, identity-double": "grafana_fake, identity_fake",
    "Judging, Sorting": "NotificationGate, AlertmanagerReconciler",
    "Outside": "EgressProbe, ExternalHost",
    "Deposits, Storing, Following": "UploadScheduler, UploadPool, OffsetGapDetector",
    "News": "DedupLogger",
    "Vault": "BackupTarget",
    "READING_PATH, reading_packages": "WEB_EXTRAS",
    "contracts/reading, contracts.reading": "contracts/visualization",
    "contracts/hub, contracts.hub": "contracts/kafka",
    "people_crowd, people_doors, ops people": "virtual_users, dashboard_client, ops loadtest",
    "lab aside, lab back, lab cut, lab heal": "lab scale-down, scale-up, partition, reconnect",
    "lab notices": "lab notifications",
    "surroundings, World": "stubs, Harness",
    "masking/people, masking.people": "pii_names_addresses",
    "boards, boards.py": "dashboards, registry.py",
    "cutting, looking.py, maintain/looks": "network_partition, poller.py, check_functions",
    "regions/act, regions/look": "failover_steps, preflight",
    "keeper": "index_manager, backup_exporter",
    "Opener, Seal": "encryption, keystore_password",
    "Site": "DeploymentContext",
    "entrance": "external_endpoint",
    "complaints": "validation_errors",
    "unsteady": "flaky",
    "meaning_": "explain_",
    "Price": "Impact",
}
"""Words that were replaced -> what to write."""
_FILLERS = {"each", "found", "made", "asked"}
_FILLER = re.compile(rf"\b({'|'.join(sorted(_FILLERS))})\b")
_TEXTS = re.compile(
    r"""#[^\n]*|(?P<f>\b[rR]?[fF][rR]?)?(?:"{3}(?s:.*?)"{3}|'{3}(?s:.*?)'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
)
"""Comments and texts of Python, where these words are prose; an f-string (group ``f``) has code, too."""
_EXCLUDED = (":!evidence/*/*.json", ":!evidence/reports", ":!tests/unit/test_retired_words.py")


@pytest.mark.parametrize("words", RETIRED, ids=lambda words: words.partition(",")[0])
def test_a_retired_word_is_nowhere(words: str) -> None:
    patterns = [option for word in words.split(", ") for option in ("-e", rf"\b{re.escape(word)}\b")]
    command = ["git", "grep", "--untracked", "-nIP", *patterns, "--", ".", *_EXCLUDED]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode in (0, 1), process.stderr
    assert process.stdout.splitlines() == [], f"write {RETIRED[words]}"


def test_no_file_is_named_by_a_retired_word() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    words = {word for group in RETIRED for word in group.split(", ") if re.fullmatch(r"[\w-]+", word)}
    names = {path: set(re.split(r"[/.]", path)) for path in listed.stdout.splitlines()}
    assert [path for path, parts in names.items() if parts & words] == []


def _code(source: str) -> str:
    return _TEXTS.sub(lambda match: match[0] if match["f"] else "", source)


@pytest.mark.parametrize(
    ("source", "is_named"),
    [
        ('x = "a # b"\nfound = 1  # made', True),
        ('x = f"{[each for each in y]}"', True),
        ("for asked in 'it\"s':\n    pass", True),
        ('def f(x):\n    """Made of each, "found"."""', False),
        ("x = 'asked'  # it's made", False),
    ],
)
def test_what_is_no_text_is_looked_at(source: str, is_named: bool) -> None:
    assert bool(_FILLER.search(_code(source))) is is_named


def test_variables_are_named_for_what_they_hold() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    sources = {path: (ROOT / path).read_text() for path in listed.stdout.splitlines()}
    fillers: list[str] = []
    for path in (path for path, source in sources.items() if _FILLER.search(_code(source))):
        for node in ast.walk(ast.parse(sources[path])):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
            if name in _FILLERS and isinstance(node, ast.Name | ast.arg):
                fillers.append(f"{path}:{node.lineno} {name}")
    assert fillers == []
