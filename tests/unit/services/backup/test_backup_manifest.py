"""The manifest: what is stored reads back the same, and nothing else is taken for one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from services.backup import BackupError
from services.backup import manifest as form
from services.backup.manifest import Manifest, StoredObject

STARTED = datetime(2026, 11, 25, 15, 4, 5, tzinfo=UTC)
OBJECT = StoredObject(name="grafana.dump", bytes=20, sha256="a" * 64, plain_bytes=10, plain_sha256="b" * 64)


def new_manifest(**changed: Any) -> Manifest:
    """A manifest."""
    return Manifest(
        **{
            "kind": "database",
            "run": form.run_name(STARTED),
            "platform": "obs",
            "region": "tokyo",
            "started": STARTED,
            "finished": STARTED + timedelta(seconds=7),
            "program": "pg_dump 15.18",
            "recipients": ("age1x",),
            "objects": (OBJECT,),
            "counts": {"grafana.public.dashboards": 3},
            **changed,
        }
    )


def test_what_is_stored_reads_back_the_same() -> None:
    manifest = form.parse(new_manifest().content(), "database/x/manifest.json")
    assert manifest == new_manifest()
    assert (manifest.total_bytes, manifest.duration_s, manifest.run) == (20, 7.0, "20261125T150405Z")
    content = json.loads(new_manifest().content())
    assert content["format"] == 1
    assert content["started"] == "2026-11-25T15:04:05Z"
    assert set(content) == {
        *("format", "kind", "run", "platform", "region", "started", "finished", "program", "recipients", "objects"),
        "counts",
    }


def test_a_start_in_another_zone_names_the_run_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert form.run_name(STARTED.astimezone(tokyo)) == "20261125T150405Z"
    assert form.run_time("20261125T150405Z") == STARTED


@pytest.mark.parametrize("name", ["20261125T150405", "2026-11-25", "latest", "20261325T150405Z", "../x"])
def test_what_is_no_start_names_no_run(name: str) -> None:
    with pytest.raises(ValueError, match=r"run is|does not match|unconverted|time data"):
        form.run_time(name)


@pytest.mark.parametrize("name", ["../passwd", "a/b", ".hidden", "", "x" * 300, "a\n"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        StoredObject(**{**OBJECT.model_dump(), "name": name})
    with pytest.raises(BackupError, match="the name of an object is"):
        form.object_key("database", "20261125T150405Z", name)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "its content"),
        (b"[]", "its content"),
        (new_manifest().content().replace(b'"format": 1', b'"format": 2'), "format"),
        (new_manifest().content().replace(b'"kind"', b'"kinds"'), "kind"),
        (new_manifest().content().replace(b"a" * 64, b"a" * 63), "objects.0.sha256"),
        (new_manifest().content().replace(b"20261125T150405Z", b"yesterday"), "run"),
    ],
)
def test_anything_else_is_refused_in_one_line(content: bytes, place: str) -> None:
    with pytest.raises(BackupError) as raised:
        form.parse(content, "database/x/manifest.json")
    assert f"database/x/manifest.json is no manifest of format 1: {place}: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_manifest_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"grafana\.dump twice"):
        new_manifest(objects=(OBJECT, OBJECT))
    with pytest.raises(ValidationError, match="finished is before started"):
        new_manifest(finished=STARTED - timedelta(seconds=1))
