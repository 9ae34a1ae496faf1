"""Retention: the oldest goes first, the newest complete run never, and nothing of anybody else's."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

from services.backup import manifest
from services.backup.manifest import run_name
from services.backup.store import Object, Unfinished
from tests.unit.services.backup.harness import Harness

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def objects(age_days: float, *, complete: bool = True, kind: str = "database") -> list[Object]:
    """Objects of a run that is so old."""
    started = NOW - timedelta(days=age_days)
    names = ["grafana.dump.age", *(["manifest.json"] if complete else [])]
    return [Object(name=f"{kind}/{run_name(started)}/{name}", bytes=10, written=started) for name in names]


def ages(runs: list[manifest.Run]) -> list[float]:
    """Ages of runs in days."""
    return [(NOW - run.started) / timedelta(days=1) for run in runs]


def runs(*those: list[Object]) -> list[manifest.Run]:
    """Runs of these objects."""
    return manifest.runs([stored_object for some in those for stored_object in some], "database")


def test_what_was_followed_by_another_longer_ago_than_its_days_goes_the_oldest_first() -> None:
    all_runs = runs(objects(1), objects(40), objects(31), objects(29), objects(100))
    assert ages(manifest.expired(all_runs, 30, NOW)) == [100, 40]


def test_the_newest_complete_run_stays_whatever_its_age() -> None:
    assert manifest.expired(runs(objects(400)), 30, NOW) == []
    assert ages(manifest.expired(runs(objects(400), objects(300), objects(1, complete=False)), 30, NOW)) == [400]


def test_the_first_backup_of_a_platform_that_was_built_anew_removes_not_the_last_of_the_one_that_was_lost() -> None:
    lost = [*objects(90), *objects(89), *objects(45)]
    assert ages(manifest.expired(runs(lost, objects(0)), 30, NOW)) == [90, 89]


def test_what_has_no_manifest_goes_after_two_days_and_counts_for_nothing() -> None:
    all_runs = runs(objects(1.9, complete=False), objects(2.1, complete=False), objects(50))
    assert ages(manifest.expired(all_runs, 30, NOW)) == [2.1]


def test_runs_of_the_future_and_strange_names_are_left_alone() -> None:
    strange = [
        Object(name=name, bytes=1, written=NOW) for name in ("database/x", "database/latest/y", "database/a/b/c")
    ]
    all_runs = runs(objects(-3), objects(1), strange)
    assert ages(all_runs) == [1, -3]
    assert manifest.expired(all_runs, 1, NOW) == []


def test_other_kinds_are_not_looked_at() -> None:
    everything = [*objects(90), *objects(1), *objects(90, kind="grafana"), *objects(90, kind="database-old")]
    assert len(manifest.runs(everything, "database")) == 2


def test_whatever_there_is_a_complete_run_is_left_and_none_that_is_young_goes() -> None:
    dice = random.Random(8)
    for _ in range(300):
        all_runs = runs(
            *(objects(dice.uniform(0, 60), complete=dice.random() < 0.6) for _ in range(dice.randrange(1, 9)))
        )
        gone = manifest.expired(all_runs, 30, NOW)
        left = [run for run in all_runs if run not in gone]
        complete = [run for run in all_runs if run.complete]
        assert not complete or max(complete, key=lambda run: run.started) in left
        assert all(age > (30 if run.complete else 2) for run, age in zip(gone, ages(gone), strict=True))
        assert all((NOW - later.started).days < 30 for run, later in itertools.pairwise(complete) if run in left)


def test_uploads_that_nobody_finishes_are_given_up_after_two_days() -> None:
    uploads = [
        Unfinished(name=f"database/{days}", upload=str(days), begun=NOW - timedelta(days=days)) for days in (1, 2, 3)
    ]
    assert [unfinished.upload for unfinished in manifest.forgotten(uploads, NOW)] == ["3"]


def test_it_is_applied_in_the_bucket_to_one_kind_alone(place: Harness) -> None:
    those = [*objects(90), *objects(40), *objects(1), *objects(3, complete=False), *objects(90, kind="grafana")]
    with place.store() as store:
        for stored_object in those:
            store.put(stored_object.name, b"content")
        removed = manifest.apply(store, "database", 30, NOW)
        assert (len(removed.runs), removed.objects, removed.uploads) == (2, 3, 0)
        kept = sorted(stored_object.name for stored_object in [*objects(40), *objects(1), *objects(90, kind="grafana")])
        assert [stored_object.name for stored_object in store.objects()] == kept
        assert manifest.apply(store, "database", 30, NOW).runs == ()
