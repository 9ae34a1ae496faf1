"""Steps and their journal: interrupted and repeated, everything is done once; the report says what counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.regions import report, steps
from ops.regions.journal import (
    Done,
    FailoverContext,
    Figures,
    Journal,
    Operation,
    begin,
    key,
    operations,
    promotion,
    unfinished,
)
from ops.regions.region import opened
from ops.regions.steps import FAILBACK, FAILOVER, PLANNED, STEP_FUNCTIONS, Step, run
from tests.unit.ops.regions_harness import A, B, Harness, harness, operation


@pytest.fixture
def shared() -> Iterator[Harness]:
    with harness() as new_world:
        yield new_world


@pytest.fixture
def context(shared: Harness, made_up: Mapping[str, Any]) -> Iterator[FailoverContext]:
    with opened(platform=shared.platform(made_up, B)) as target:
        yield FailoverContext(
            target=target,
            source=A,
            witness=shared.witness,
            journal=operation(shared.witness),
            by="ops failover",
            tell=lambda _: None,
        )


def functions(
    done: list[str], **special: Callable[[FailoverContext], Figures]
) -> dict[str, Callable[[FailoverContext], Figures]]:
    """Steps that only note that they were done."""

    def noting(name: str) -> Callable[[FailoverContext], Figures]:
        def do(context: FailoverContext) -> Figures:
            done.append(name)
            return special[name](context) if name in special else {"did": name}

        return do

    return {step.name: noting(step.name) for step in (*FAILOVER, *FAILBACK)}


def fence(context: FailoverContext) -> Figures:
    return steps.fence(context)


def refuse(_: FailoverContext) -> Figures:
    raise OpsError("Route 53 is away")


def test_every_step_of_every_plan_can_be_done() -> None:
    named = [step.name for step in (*FAILOVER, *PLANNED, *FAILBACK)]
    assert set(named) == set(STEP_FUNCTIONS)
    for plan in (FAILOVER, PLANNED, FAILBACK):
        names = [step.name for step in plan]
        assert len(names) == len(set(names))
        assert all("{" not in step.text(B, A) for step in plan)


def test_nobody_is_told_before_it_is_handed_over_and_nothing_is_noted_after_the_lease() -> None:
    for plan in (FAILOVER, PLANNED, FAILBACK):
        names = [step.name for step in plan]
        assert names.index("offsets") < names.index("fence") < names.index("silence-handover") < names.index("notify")
        assert names.index("notify") < names.index("dns") < names.index("promote") < names.index("verify")
    assert [step.name for step in PLANNED].index("drain") < [step.name for step in PLANNED].index("promote")


def test_all_steps_are_done_in_their_order_and_journaled(context: FailoverContext, shared: Harness) -> None:
    done: list[str] = []
    run(FAILOVER, context, functions(done, fence=fence))
    assert done == [step.name for step in FAILOVER]
    [known] = operations(shared.witness)
    assert list(known.steps) == done
    assert known.figures("offsets") == {"did": "offsets"}
    assert known.ended is not None
    assert not known.open


def test_a_failover_that_was_interrupted_goes_on_where_it_stopped(context: FailoverContext, shared: Harness) -> None:
    done: list[str] = []
    with pytest.raises(OpsError, match=r"^dns: Route 53 is away; the command, repeated, goes on where it stopped$"):
        run(FAILOVER, context, functions(done, fence=fence, dns=refuse))
    assert done[-1] == "dns"
    journal, goes_on = begin(shared.witness, "failover", target=B, source=A, planned=False, by="al")
    assert goes_on
    again: list[str] = []
    context.journal = journal
    run(FAILOVER, context, functions(again, fence=fence))
    assert again == ["dns", "probe", "promote", "verify"]
    assert [known_operation.id for known_operation in operations(shared.witness)] == [journal.operation.id]


def test_between_the_phases_it_is_said_that_nobody_is_told(context: FailoverContext) -> None:
    with pytest.raises(
        OpsError, match="silence-handover: Route 53 is away; nobody is notified of alerts until the command is repeat"
    ):
        run(FAILOVER, context, functions([], fence=fence, **{"silence-handover": refuse}))


def test_before_the_lease_is_taken_nothing_has_happened(context: FailoverContext) -> None:
    with pytest.raises(OpsError, match=r"^check: Route 53 is away$"):
        run(FAILOVER, context, functions([], check=refuse))


def test_whose_lease_another_command_has_taken_stops(context: FailoverContext, shared: Harness) -> None:
    def taken(_: FailoverContext) -> Figures:
        shared.lease(A, 9)
        return {}

    done: list[str] = []
    with pytest.raises(OpsError, match=f"dns: the lease was taken by another command: {A} has it, epoch 9"):
        run(FAILOVER, context, functions(done, fence=fence, notify=taken))
    assert done[-1] == "notify"


def test_problems_are_in_the_journal_with_their_step_only(context: FailoverContext) -> None:
    def doubtful(context: FailoverContext) -> Figures:
        context.problem("something is odd")
        return {}

    run(FAILOVER, context, functions([], fence=doubtful_fence(doubtful)))
    assert context.journal.operation.steps["fence"].problems[-1] == "something is odd"
    assert context.journal.operation.steps["silence-handover"].problems == []
    assert "fence: something is odd" in report.problems(context.journal.operation)


def doubtful_fence(further: Callable[[FailoverContext], Figures]) -> Callable[[FailoverContext], Figures]:
    def do(context: FailoverContext) -> Figures:
        return {**steps.fence(context), **further(context)}

    return do


def test_a_step_that_only_looks_is_done_again(context: FailoverContext) -> None:
    done: list[str] = []
    steps = (Step(name="offsets", what="once"), Step(name="verify", what="again", again=True))
    run(steps, context, functions(done))
    context.journal.operation.ended = None
    run(steps, context, functions(done))
    assert done == ["offsets", "verify", "verify"]


def test_a_failover_the_other_way_supersedes_one_that_was_not_ended(shared: Harness) -> None:
    first = operation(shared.witness)
    journal, goes_on = begin(shared.witness, "failover", target=A, source=B, planned=False, by="al")
    assert not goes_on
    known = {known_operation.id: known_operation for known_operation in operations(shared.witness)}
    assert known[first.operation.id].superseded == journal.operation.id
    assert unfinished(known.values(), "failover", B, A) is None
    assert unfinished(known.values(), "failover", A, B) == journal.operation


def test_a_journal_that_is_none_is_named(shared: Harness) -> None:
    shared.witness.write(key("20261125T000000Z-x"), {"version": 1}, None)
    with pytest.raises(OpsError, match=r"^regions/operations/20261125T000000Z-x.json in the witness bucket: id: Field"):
        operations(shared.witness)


def test_a_journal_of_another_version_stops_no_failover_and_a_failback_only(shared: Harness) -> None:
    shared.witness.write(key("20261125T000000Z-x"), {**reported().model_dump(mode="json"), "version": 2}, None)
    told: list[str] = []
    way = {"target": B, "source": A, "by": "al", "tell": told.append}
    journal, _ = begin(shared.witness, "failover", planned=False, **way)
    assert [known.id for known in operations(shared.witness, told.append)] == [journal.operation.id]
    assert told[0] == (
        "left out: regions/operations/20261125T000000Z-x.json in the witness bucket: version: Input should be 1"
    )
    with pytest.raises(OpsError, match="version: Input should be 1"):
        begin(shared.witness, "failback", planned=True, **way)


def test_what_another_revision_notes_in_a_journal_is_read_and_kept(shared: Harness) -> None:
    content = reported().model_dump(mode="json")
    content |= {"note": "new", "ended": None}
    content["steps"]["check"]["hint"] = 3
    shared.witness.write(key("one"), content, None)
    shared.lease(B, 4, notify=False)
    [known] = operations(shared.witness)
    assert known.figures("check")["newest_copied_age_s"] == {"t": 47.0}
    begin(shared.witness, "failover", target=A, source=B, planned=False, by="al")
    stored = shared.witness.read(key("one"))
    assert stored is not None
    assert (stored[0]["note"], stored[0]["steps"]["check"]["hint"]) == ("new", 3)
    assert stored[0]["superseded"]


def test_of_two_who_go_on_with_an_operation_the_second_stops_the_first(
    context: FailoverContext, shared: Harness
) -> None:
    shared.lease(A, 4)
    with pytest.raises(OpsError, match=r"^dns: "):
        run(FAILOVER, context, functions([], fence=fence, dns=refuse))
    way = {"target": B, "source": A, "planned": False}
    (first, _), (second, _) = (begin(shared.witness, "failover", by=by, **way) for by in ("jo", "al"))
    with pytest.raises(
        OpsError, match=r"^another command goes on with .*-failover-region-b-0000: leave it to that one"
    ):
        first.begin("dns")
    second.begin("dns")
    second.end("dns", {"by": "second"}, ())
    [written] = operations(shared.witness)
    assert written.figures("dns") == {"by": "second"}


def test_a_command_that_is_written_while_it_is_given_up_is_given_up(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, interrupted = shared.witness.write, list[str]()

    def write(name: str, content: dict[str, Any], etag: str | None) -> str:
        if content.get("superseded") and not interrupted:
            interrupted.append(name)
            context.journal.begin("check")
        return real(name, content, etag)

    monkeypatch.setattr(shared.witness, "write", write)
    journal, _ = begin(shared.witness, "failover", target=A, source=B, planned=False, by="al")
    [first] = [known for known in operations(shared.witness) if known.id != journal.operation.id]
    assert interrupted
    assert (first.superseded, list(first.steps)) == (journal.operation.id, ["check"])
    with pytest.raises(OpsError, match="another command has given this operation up"):
        context.journal.end("check", {}, ())


def test_a_failover_with_nothing_to_do_leaves_a_failback_that_is_under_way_alone(shared: Harness) -> None:
    shared.lease(B, 4)
    way = {"kind": "failback", "target": A, "source": B, "planned": True}
    under_way = stopped(shared, "catch-up", "both", "mirror-offsets", "return", **way)
    with pytest.raises(OpsError, match=r"^region-b holds the lease already, epoch 4: there is nothing to do$"):
        begin(shared.witness, "failover", target=B, source=A, planned=False, by="al")
    assert operations(shared.witness) == [under_way.operation]
    assert under_way.operation.open
    shared.beat(B, epoch=6, notifies=True)
    assert begin(shared.witness, "failover", target=B, source=A, planned=False, by="al"), "the lease was set back"


def test_where_a_region_took_over_is_told_by_its_newest_operation(shared: Harness) -> None:
    now = datetime.now(UTC)
    for number, offset in ((1, 10), (2, 20)):
        journal = operation(shared.witness, id=f"2026112{number}T000000Z-failover-region-b-0000")
        journal.operation.steps["offsets"] = Done(began=now, ended=now, figures={"offsets": {"t": {"0": offset}}})
        journal.operation.steps["fence"] = Done(began=now, ended=now)
        journal.save()
    given_up = operation(shared.witness, id="20261129T000000Z-failover-region-b-0000")
    given_up.operation.steps["offsets"] = Done(began=now, ended=now, figures={"offsets": {"t": {"0": 30}}})
    given_up.save()
    promoted = promotion(operations(shared.witness), B)
    assert promoted is not None
    assert promoted.figures("offsets") == {"offsets": {"t": {"0": 20}}}
    assert promotion(operations(shared.witness), A) is None


def test_a_planned_failover_gives_the_lease_back_when_the_old_region_does_not_fall_silent(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.regions.takeover.silent", lambda *_: (False, "region-a is alive and has not confirmed"))
    context.journal.operation.planned = True
    with pytest.raises(OpsError, match=r"^fence: region-a is alive .*: it has the lease again"):
        run(PLANNED, context, functions([], fence=fence))
    current = shared.witness.lease()
    assert current is not None
    assert (current[0].holder, current[0].epoch, current[0].notify) == (A, 2, True)
    assert not context.journal.operation.has("fence")


@pytest.mark.parametrize("ahead_s", [-300.0, 0.0, 300.0])
def test_the_last_sign_of_life_is_by_the_clock_here_whatever_the_old_regions_clock_shows(
    context: FailoverContext, shared: Harness, ahead_s: float
) -> None:
    shared.beat(A, age_s=45, ahead_s=ahead_s)
    figures = steps.fence(context)
    assert not figures["confirmed"]
    age_s = (datetime.now(UTC) - datetime.fromisoformat(figures["source_last_alive"])).total_seconds()
    assert age_s == pytest.approx(45, abs=3)


def reported() -> Operation:
    begun = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)

    def step(start: float, end: float, **figures: Any) -> Done:
        return Done(began=begun + timedelta(seconds=start), ended=begun + timedelta(seconds=end), figures=figures)

    # The clock of the old region is a minute ahead.
    alive = (begun - timedelta(seconds=40)).isoformat()
    seen = (begun + timedelta(seconds=20)).isoformat()
    copied = (begun + timedelta(seconds=18)).isoformat()
    return Operation(
        id="one",
        kind="failover",
        target=B,
        source=A,
        planned=False,
        by="jo",
        began=begun,
        ended=begun + timedelta(seconds=200),
        steps={
            "check": step(0, 5, newest_copied={"t": copied}, newest_copied_age_s={"t": 47.0}),
            "fence": step(5, 7, epoch=1, confirmed=False, source_last_seen=seen, source_last_alive=alive),
            "silence-handover": step(7, 12, handed_over=["A/b=c|d"], again=[], silences=[]),
            "notify": step(12, 15),
            "probe": step(20, 22),
        },
    )


def test_the_report_counts_from_the_last_sign_of_life(tmp_path: Path) -> None:
    figures = report.figures(reported())
    assert figures["rto_s"] == 62.0
    assert figures["silent_s"] == 10.0
    assert figures["copied_behind_s"] == 2.0
    assert figures["handed_over"] == 1
    page, data = report.write(reported(), tmp_path / "new")
    assert json.loads(data.read_text())["figures"]["rto_s"] == 62.0
    assert "- A/b=c\\|d" in page.read_text()
    assert "| rto_s | 62.0 |" in page.read_text()


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OpsError, match=r"--folder .*: "):
        report.write(reported(), tmp_path / "file")


def test_a_journal_survives_the_bucket(shared: Harness) -> None:
    Journal(shared.witness, reported()).save()
    assert operations(shared.witness) == [reported()]


def stopped(shared: Harness, at: str, *before: str, days: float = 0.0, **changed: Any) -> Journal:
    """An operation whose steps before were done, and that stopped at a step."""
    moment = datetime.now(UTC) - timedelta(days=days)
    journal = operation(shared.witness, **{"began": moment, "id": "20261126T180000Z-stopped-0000", **changed})
    for name in before:
        figures: Figures = {"offsets": {"t": {"0": 10}}, "epoch": 4} if name in ("offsets", "both") else {}
        journal.operation.steps[name] = Done(began=moment, ended=moment, figures=figures)
    journal.operation.steps[at] = Done(began=moment)
    journal.save()
    return journal


def lost(shared: Harness) -> None:
    """Region A, which holds the lease, is gone."""
    shared.lease(A, 4)
    shared.beat(A, age_s=90, epoch=4)


def given(
    context: FailoverContext, shared: Harness, *, planned: bool, done: list[str], **special: Callable[..., Figures]
) -> tuple[bool, list[str]]:
    """Give the command; whether it went on, and what it told first."""
    told: list[str] = []
    context.journal, goes_on = begin(
        shared.witness, "failover", target=B, source=A, planned=planned, by="al", tell=told.append
    )
    run(PLANNED if context.planned else FAILOVER, context, functions(done, fence=fence, **special))
    return goes_on, told


def test_a_planned_failover_that_stopped_at_its_checks_does_not_stand_in_the_way_of_one_in_an_emergency(
    context: FailoverContext, shared: Harness
) -> None:
    first = context.journal.operation
    first.planned = True
    shared.lease(A, 4)
    with pytest.raises(OpsError, match=r"^check: Route 53 is away$"):
        run(PLANNED, context, functions([], check=refuse))
    lost(shared)
    done: list[str] = []
    goes_on, told = given(context, shared, planned=False, done=done)
    assert not goes_on
    assert done == [step.name for step in FAILOVER]
    assert told == [
        f"the planned failover of {first.began:%Y-%m-%d %H:%M:%S} UTC is given up: "
        "it stopped at check, before it had the lease"
    ]
    known = operations(shared.witness)
    assert [(entry.planned, entry.superseded, entry.open) for entry in known] == [
        (True, context.journal.operation.id, False),
        (False, None, False),
    ]


def test_a_planned_failover_whose_other_region_did_not_fall_silent_gives_way_to_one_in_an_emergency(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.journal.operation.planned = True
    shared.lease(A, 4)
    with monkeypatch.context() as patched:
        patched.setattr("ops.regions.takeover.silent", lambda *_: (False, "region-a is alive and has not confirmed"))
        with pytest.raises(OpsError, match="it has the lease again"):
            run(PLANNED, context, functions([], fence=fence))
    lost(shared)
    done: list[str] = []
    goes_on, told = given(context, shared, planned=False, done=done)
    assert (goes_on, done) == (False, [step.name for step in FAILOVER])
    assert "it stopped at fence, before it had the lease" in told[0]
    held = shared.witness.lease()
    assert held is not None
    assert (held[0].holder, held[0].epoch) == (B, context.epoch)


def interrupted_in_fence(context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planned failover has taken the lease, and is interrupted while it waits."""
    context.journal.operation.planned = True
    context.journal.save()
    shared.lease(A, 4)

    def interrupt(*_: object) -> tuple[bool, str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ops.regions.takeover.silent", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(PLANNED, context, functions([], fence=fence))
    assert "nobody is notified of alerts until the command is repeated" in steps.resume_hint(context)


def test_who_was_interrupted_while_waiting_for_the_other_region_goes_on(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_in_fence(context, shared, monkeypatch)
    shared.beat(A, epoch=5, notifies=False)
    done: list[str] = []
    goes_on, told = given(context, shared, planned=True, done=done)
    assert goes_on
    names = [step.name for step in PLANNED]
    assert done == names[names.index("fence") :]
    assert told == [f"goes on with {context.journal.operation.id}"]


def test_the_same_in_an_emergency_begins_anew_with_the_lease_and_the_ends_that_were_noted_before_it(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_in_fence(context, shared, monkeypatch)
    noted = context.journal.operation.steps["offsets"]
    shared.beat(A, age_s=90, epoch=4)
    done: list[str] = []
    goes_on, told = given(context, shared, planned=False, done=done)
    assert not goes_on
    assert done == [step.name for step in FAILOVER if step.name != "offsets"]
    assert context.journal.operation.steps["offsets"] == noted
    assert context.epoch == 5, "the lease was not taken a second time"
    assert told[0].endswith("it stopped at fence, and this one is without the old region")


@pytest.mark.parametrize("before", [("check",), ("check", "offsets")])
def test_what_was_noted_days_ago_before_the_lease_is_noted_anew(
    context: FailoverContext, shared: Harness, before: tuple[str, ...]
) -> None:
    stopped(shared, "fence" if "offsets" in before else "offsets", *before, days=3)
    lost(shared)
    done: list[str] = []
    goes_on, _ = given(context, shared, planned=False, done=done)
    assert (goes_on, done) == (False, [step.name for step in FAILOVER])
    promoted = promotion(operations(shared.witness), B)
    assert promoted is not None
    assert promoted.figures("offsets") == {"did": "offsets"}


def test_an_operation_whose_lease_was_taken_from_it_does_not_go_on(context: FailoverContext, shared: Harness) -> None:
    lost(shared)
    with pytest.raises(OpsError, match=r"^dns: "):
        run(FAILOVER, context, functions([], fence=fence, dns=refuse))
    shared.lease(A, 9)
    done: list[str] = []
    goes_on, told = given(context, shared, planned=False, done=done)
    assert (goes_on, done) == (False, [step.name for step in FAILOVER])
    assert told[0].endswith("the lease that it took, epoch 5, is region-b's no more")


def test_a_command_that_was_given_up_while_it_ran_stops_and_leaves_the_lease_alone(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = context.journal, list[Journal]()
    first.operation.planned = True
    shared.lease(A, 4)

    def wait(*_: object) -> tuple[bool, str]:
        second.append(begin(shared.witness, "failover", target=B, source=A, planned=False, by="al")[0])
        return False, "region-a gives no sign of life"

    monkeypatch.setattr("ops.regions.takeover.silent", wait)
    with pytest.raises(OpsError, match=r"^fence: another command has given this operation up: .* has taken its place"):
        run(PLANNED, context, functions([], fence=fence))
    held = shared.witness.lease()
    assert held is not None
    assert (held[0].holder, held[0].epoch) == (B, 5)
    assert [entry.open for entry in operations(shared.witness)] == [False, True]


@pytest.mark.parametrize(("epoch", "kept"), [(4, ["both", "mirror-offsets", "return"]), (6, [])])
def test_a_failback_keeps_the_region_that_it_prepared_as_long_as_the_lease_is_the_same(
    shared: Harness, epoch: int, kept: list[str]
) -> None:
    way = {"kind": "failback", "target": A, "source": B, "planned": True}
    first = stopped(shared, "fence", "both", "mirror-offsets", "return", "catch-up", "check", "offsets", days=2, **way)
    shared.lease(B, epoch)
    journal, goes_on = begin(shared.witness, "failback", target=A, source=B, planned=True, by="al")
    assert not goes_on
    assert list(journal.operation.steps) == kept
    assert journal.operation.id != first.operation.id


def test_once_it_has_the_lease_it_goes_on_as_it_began(
    context: FailoverContext, shared: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.journal.operation.planned = True
    monkeypatch.setattr("ops.regions.takeover.silent", lambda *_: (True, "region-a has confirmed that it is silent"))
    with pytest.raises(OpsError, match=r"^dns: "):
        run(PLANNED, context, functions([], fence=fence, dns=refuse))
    done: list[str] = []
    goes_on, told = given(context, shared, planned=False, done=done)
    assert goes_on
    assert done == ["dns", "probe", "drain", "promote", "verify"]
    assert told == [f"goes on with {context.journal.operation.id}, planned as it began"]
