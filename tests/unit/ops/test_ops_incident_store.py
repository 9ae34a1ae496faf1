"""The folder of incidents: ids, whole files, several people at once, files that cannot be used."""

from __future__ import annotations

import json
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.incidents.evidence import load
from ops.incidents.record import Incident, Phase, Store
from tests.unit.ops import incident_samples as samples


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "incidents")


def add(store: Store, minutes: float = 0, days: int = 0) -> Incident:
    """Open an incident about an alert that began so many minutes later."""
    alert = samples.alert(starts=samples.after(minutes))
    opened = samples.START + timedelta(days=days)
    return store.create(
        lambda identifier: samples.incident(id=identifier, alert=alert, closed=None, opened=opened), opened
    )


def test_the_next_free_id_of_the_day_is_taken(store: Store) -> None:
    ids = [add(store, minutes).id for minutes in range(3)] + [add(store, 99, days=1).id]
    assert ids == ["INC-20261124-01", "INC-20261124-02", "INC-20261124-03", "INC-20261125-01"]


def test_what_was_written_is_read_again(store: Store) -> None:
    incident = add(store)
    assert store.read(incident.id) == incident
    assert store.read(incident.id.lower()) == incident


def test_there_is_one_open_incident_for_one_firing_of_an_alert(store: Store) -> None:
    first = add(store)
    with pytest.raises(OpsError, match=f"{first.id} is open for this alert .*`ops incident note {first.id} TEXT`"):
        add(store)
    store.change(first.id, lambda incident: incident.model_copy(update={"closed": samples.after(5)}))
    assert add(store).id == "INC-20261124-02"


def test_folder_and_files_are_for_their_owner_only(store: Store) -> None:
    incident = add(store)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((store.folder / f"{incident.id}.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(("folder", "file"), [(0o700, 0o600), (0o2770, 0o660), (0o755, 0o640), (0o777, 0o660)])
def test_in_a_folder_of_a_group_the_files_are_the_groups_and_never_everybodys(
    tmp_path: Path, folder: int, file: int
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(folder)
    add(Store(shared))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir()}
    assert modes == {"INC-20261124-01.json": file, ".lock": file}


def test_a_change_that_refuses_changes_nothing(store: Store) -> None:
    stored = add(store)

    def refuse(incident: Incident) -> Incident:
        raise OpsError("no")

    with pytest.raises(OpsError, match="no"):
        store.change(stored.id, refuse)
    assert store.read(stored.id) == stored
    assert [path.name for path in store.folder.iterdir() if path.suffix == ".new"] == []


def test_notes_of_several_people_at_once_are_all_kept(store: Store) -> None:
    incident = add(store)

    def write(number: int) -> None:
        for index in range(5):
            text = f"{number}/{index}"
            Store(store.folder).change(
                incident.id,
                lambda stored, text=text: stored.model_copy(update={"notes": (*stored.notes, samples.note(text, 1))}),
            )

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    written = [note.text for note in store.read(incident.id).notes[len(incident.notes) :]]
    assert sorted(written) == sorted(f"{a}/{b}" for a in range(4) for b in range(5))


def test_ids_are_unique_when_several_people_open_at_once(store: Store) -> None:
    threads = [threading.Thread(target=add, args=(store, minutes)) for minutes in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(store.all()[0]) == 8


@pytest.mark.parametrize("identifier", ["INC-20261124-07", "", "../INC-20261124-01", "*", "INC-20261124-01.evidence"])
def test_an_incident_that_is_none_is_refused(store: Store, identifier: str) -> None:
    add(store)
    store.keep("INC-20261124-01", "evidence", samples.evidence())
    with pytest.raises(OpsError, match=r"no incident .*`ops incident list` shows"):
        store.read(identifier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version is 2, this program reads version 1"),
        ({"severity": "urgent"}, "`severity`: "),
        ({"owner": "me"}, "`owner`: Extra inputs are not permitted"),
        ({"opened": "2026-11-24T22:10:00"}, "`opened`: .*timezone"),
        ({"id": "INC-1"}, "`id`: "),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_key(store: Store, change: dict[str, object], message: str) -> None:
    incident = add(store)
    file = store.folder / f"{incident.id}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(OpsError, match=message) as raised:
        store.read(incident.id)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_a_broken_file_hides_no_other_and_stops_no_new_one(store: Store, text: str) -> None:
    first, second = add(store), add(store, 1)
    (store.folder / f"{first.id}.json").write_text(text)
    incidents, problems = store.all()
    assert [incident.id for incident in incidents] == [second.id]
    assert first.id in problems[0]
    assert add(store, 2).id == "INC-20261124-03"


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match="--folder or OBS_INCIDENTS"):
        add(Store(tmp_path / "file"))
    assert Store(tmp_path / "nothing").all() == ([], [])


def test_what_was_collected_is_kept_beside_the_record(store: Store) -> None:
    incident = add(store)
    assert store.kept(incident.id, "evidence") == ""
    store.keep(incident.id, "evidence", samples.evidence())
    assert load(store.kept(incident.id, "evidence")) == samples.evidence()
    assert [listed.id for listed in store.all()[0]] == [incident.id]


def test_a_new_incident_never_gets_what_was_collected_about_another(store: Store) -> None:
    first = add(store)
    store.keep(first.id, "evidence", samples.evidence())
    (store.folder / f"{first.id}.json").rename(store.folder.parent / "moved away")
    second = add(store, 1)
    assert second.id == "INC-20261124-02"
    assert store.kept(second.id, "evidence") == ""


@pytest.mark.parametrize("text", ["{}", '{"version": 7}', "{"])
def test_evidence_of_another_shape_is_not_taken_for_none(text: str) -> None:
    assert load("") is None
    with pytest.raises(OpsError, match=r"what was collected cannot be read: .*: use its own program or move it away"):
        load(text)


def test_notes_of_a_phase_come_in_the_order_of_what_happened() -> None:
    notes = (samples.note("second", 9), samples.note("first", 2), samples.note("other", 1, Phase.RECOVER))
    assert [note.text for note in samples.incident(notes=notes).noted(Phase.RESPOND)] == ["first", "second"]
