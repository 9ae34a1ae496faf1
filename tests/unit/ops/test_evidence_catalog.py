"""The committed catalog and runs: every name is known, covers something, and is read without complaint."""

from __future__ import annotations

import pytest

from ops.core.platform import PROJECT
from ops.drills.procedure import Drill
from ops.drills.run import DRILLS
from ops.evidence import files as evidence


def test_the_catalog_is_valid_and_names_what_exists() -> None:
    catalog = evidence.catalog()
    unknown = [part for entry in catalog.evidence.values() for part in entry.covers if part not in catalog.sources]
    assert all("/" in part or "." in part for part in unknown), unknown


@pytest.mark.parametrize("name", sorted(evidence.catalog().evidence))
def test_every_name_covers_files_of_this_checkout(name: str) -> None:
    empty = [path for path in evidence.catalog().paths(name) if not any(PROJECT.glob(path))]
    assert empty == []


def test_every_committed_run_is_read_and_has_an_entry() -> None:
    folders = {folder.name for folder in evidence.FOLDER.iterdir() if folder.is_dir()} - {"reports"}
    assert folders <= set(evidence.catalog().evidence)
    assert [ignored for name in folders for ignored in evidence.read(name).ignored] == []


def test_every_drill_has_an_entry_that_names_its_command() -> None:
    catalog = evidence.catalog()
    assert {drill.evidence for drill in DRILLS} <= set(catalog.evidence)
    commands = {catalog.entry(drill.evidence).run for drill in DRILLS}
    assert commands <= {f"ops drill {drill.name}" for drill in DRILLS}


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_drill_covers_the_module_of_its_procedure(drill: Drill) -> None:
    module = PROJECT / f"{drill.procedure.partition(':')[0].replace('.', '/')}.py"
    assert any(module in PROJECT.glob(path) for path in evidence.catalog().paths(drill.evidence)), module
