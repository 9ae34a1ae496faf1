"""The commands on made-up stacks: how the regions stand, what differs, and what a failover refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from ops import __main__ as cli
from ops.core import platform
from ops.core.access import RegionsAccess
from ops.core.errors import OpsError
from ops.core.platform import Platform
from ops.regions import dns, takeover
from ops.regions.journal import FailoverContext, Figures
from ops.regions.region import opened, witness_of
from ops.regions.steps import FAILOVER, STEP_FUNCTIONS, answer, names
from services.regions.witness import dump, region_key
from tests.config.servers import free_port
from tests.unit.ops.regions_harness import (
    FINGERPRINTS,
    KEY,
    NAME,
    SECRET,
    STACKS,
    ZONE,
    A,
    B,
    Harness,
    harness,
    operation,
)

Run = Callable[..., Result]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setenv(dns.KEY, KEY)
    monkeypatch.setenv(dns.SECRET, SECRET)
    with harness() as new_world:
        yield new_world


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, shared: Harness, made_up: Mapping[str, Any]) -> Run:
    """The command line with the stack of region B selected, which is primary unless told otherwise."""

    def call(*words: str, role: str = "primary", selected: str = B, **changed: Any) -> Result:
        def load(stack: str = "") -> Platform:
            other = A if selected == B else B
            region = other if stack == STACKS[other] else selected
            return shared.platform(made_up, region, role, regions=changed)

        monkeypatch.setattr("ops.core.platform.load", load)
        result = CliRunner().invoke(cli.app, list(words), env={"COLUMNS": "140"})
        if isinstance(result.exception, OpsError):
            raise result.exception
        return result

    return call


def test_regions_that_stand_well_are_shown_and_exit_code_is_zero(run: Run, shared: Harness) -> None:
    shared.beat(A, epoch=2, notifies=False)
    shared.beat(B, epoch=2, notifies=True)
    shared.lease(B, 2)
    result = run("regions")
    assert result.exit_code == 0, result.output
    assert "lease: region-b, epoch 2" in result.output
    assert f"{NAME}: A 198.18.0.20, 1 s" in result.output


def test_the_same_for_machines(run: Run, shared: Harness) -> None:
    shared.beat(A)
    shared.beat(B)
    document = json.loads(run("regions", "--json").output)
    assert document["holder"] is None
    assert [region["region"] for region in document["regions"]] == [B, A]
    assert [region["notifies"] for region in document["regions"]] == [False, True]
    assert document["names"] == {NAME: "A 198.18.0.20, 1 s"}
    assert document["problems"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age_s": 60.0}, "region-a gives no sign of life since 6"),
        ({"notifies": True}, "both regions are active"),
        ({"fingerprints": {"rules": "other"}}, "rules"),
    ],
)
def test_what_is_wrong_is_told_with_exit_code_one(
    run: Run, shared: Harness, change: Mapping[str, Any], said: str
) -> None:
    shared.beat(A, **{"notifies": False, **change})
    shared.beat(B, notifies=True)
    result = run("regions")
    assert result.exit_code == 1
    assert said in result.output


def test_a_region_that_was_never_there_and_a_name_that_leads_nowhere_stop_nothing(run: Run, shared: Harness) -> None:
    other = {"zone": "other.example.com", "names": {"otlp": NAME}, "ttl_s": 1, "endpoint": shared.url}
    result = run("regions", "--json", dns=other)
    document = json.loads(result.output)
    assert result.exit_code == 1
    assert {"region-b gives no sign of life", "region-a gives no sign of life"} <= set(document["problems"])
    assert any("has 0 zones other.example.com" in problem for problem in document["problems"])


def test_equal_definitions_are_told_and_different_ones_are_a_line_each(run: Run, shared: Harness) -> None:
    shared.beat(A)
    assert run("regions", "parity").output == "2 definitions are the same in region-a\n"
    shared.beat(A, fingerprints={"rules": FINGERPRINTS["rules"], "topics": "f" * 64, "dashboards": "e" * 64})
    result = run("regions", "parity")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "dashboards: region-b has none, region-a has eeeeeeeeeeee",
        "topics: region-b has 222222222222, region-a has ffffffffffff",
    ]
    assert json.loads(run("regions", "parity", "--json").output)["differences"] == result.output.splitlines()


def test_a_region_alone_has_nothing_to_compare_with(run: Run, shared: Harness) -> None:
    with pytest.raises(OpsError, match="region-b has no other region"):
        run("regions", "parity", peer=None)
    with pytest.raises(OpsError, match="region-a has never told what it has"):
        run("regions", "parity")


def test_a_stack_without_regions_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, made_up: dict[str, Any]) -> None:
    monkeypatch.setattr("ops.core.platform.load", lambda stack="": Platform.model_validate(made_up))
    with pytest.raises(OpsError, match="the stack has no output `regions`"):
        raise CliRunner().invoke(cli.app, ["regions"]).exception or AssertionError("nothing was raised")


def test_a_failover_wants_the_stack_of_the_region_that_takes_over(run: Run) -> None:
    with pytest.raises(OpsError, match="the selected stack is that of region-b: select the stack of region-a"):
        run("failover", "--to", A)


@pytest.mark.parametrize("words", [("failover", "--to", B), ("failback", "--to", A)])
def test_nothing_happens_unasked(run: Run, shared: Harness, words: tuple[str, ...]) -> None:
    with pytest.raises(OpsError, match="nobody can be asked here: give --yes"):
        run(*words)
    assert shared.witness.keys("regions/") == []


def test_a_failback_names_one_of_the_two_regions(run: Run) -> None:
    with pytest.raises(OpsError, match="--to is elsewhere, must be region-b or region-a"):
        run("failback", "--to", "elsewhere", "--dry-run")


@pytest.mark.parametrize("selected", [A, B])
def test_a_failback_tells_its_steps_from_either_stack(run: Run, shared: Harness, selected: str) -> None:
    result = run("failback", "--to", A, "--dry-run", "--json", selected=selected)
    document = json.loads(result.output)
    assert result.exit_code == 0
    steps = {step["step"]: step["what"] for step in document["steps"]}
    assert list(steps)[:4] == ["both", "mirror-offsets", "return", "catch-up"]
    assert list(steps)[-2:] == ["mirror-offsets-back", "standby"]
    assert steps["return"].startswith("set the role of region-a to standby")
    assert steps["standby"].startswith("set the role of region-b to standby")
    assert shared.witness.keys("regions/") == []


def test_a_failback_of_whom_nobody_gave_up_for_is_refused(run: Run, shared: Harness) -> None:
    with pytest.raises(OpsError, match=r"^both: region-b does not hold the lease: there is nothing to fail back from$"):
        run("failback", "--to", A, "--yes")


def test_a_failback_from_a_region_that_nobody_noted_the_offsets_of_is_refused(run: Run, shared: Harness) -> None:
    shared.lease(B, 3)
    shared.beat(B)
    with pytest.raises(OpsError, match=r"^both: region-a gives no sign of life for ever"):
        run("failback", "--to", A, "--yes")
    shared.beat(A)
    with pytest.raises(OpsError, match=r"^both: no journal tells where region-b took over"):
        run("failback", "--to", A, "--yes")


def test_the_stack_of_the_other_region_is_read_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made_up: dict[str, Any]
) -> None:
    (tmp_path / "outputs").write_text(json.dumps(made_up))
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked; cat {tmp_path}/outputs\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert platform.load(tmp_path, STACKS[A]).region == "here"
    assert platform.load(tmp_path).region == "here"
    named, selected = (tmp_path / "asked").read_text().splitlines()
    assert named == f"{selected} --stack {STACKS[A]}"


def test_a_region_alone_refuses_with_one_line(shared: Harness) -> None:
    access = RegionsAccess.model_validate({**shared.outputs(B), "witness": None, "peer": None})
    with pytest.raises(OpsError) as caught, witness_of(access):
        pass
    assert str(caught.value) == (
        f"{B} stands alone, so there is no failover: name regions.witness and regions.peer in the stack file"
    )


def test_no_representation_of_the_output_shows_a_secret(shared: Harness) -> None:
    shown = repr(RegionsAccess.model_validate(shared.outputs(B)))
    assert KEY not in shown
    assert SECRET not in shown


def test_an_emergency_after_a_planned_failover_that_stopped_is_not_planned(
    run: Run, shared: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared.lease(A, 1)
    shared.beat(A, age_s=90)
    functions = cast("dict[str, Any]", STEP_FUNCTIONS)

    def check(context: FailoverContext) -> Figures:
        if context.planned:
            raise OpsError("the newest copied record is 60 s old")
        return {}

    for name in STEP_FUNCTIONS:
        if name != "fence":
            monkeypatch.setitem(functions, name, check if name == "check" else lambda _: {})
    monkeypatch.setattr("ops.regions.takeover.target", lambda *_, **__: [])
    words = ("failover", "--to", B, "--yes", "--json", "--folder", str(tmp_path))
    with pytest.raises(OpsError, match=r"^check: the newest copied record is 60 s old$"):
        run(*words, "--planned")
    shown = run("failover", "--to", B, "--dry-run", "--json")
    assert "would be given up: it stopped at check, before it had the lease" in shown.stderr
    assert "drain" not in [step["step"] for step in json.loads(shown.stdout)["steps"]]
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "is given up: it stopped at check, before it had the lease" in result.stderr
    report = json.loads(result.stdout)
    assert (report["planned"], list(report["steps"])) == (False, [step.name for step in FAILOVER])


def test_what_is_planned_calls_the_other_region_and_what_is_not_does_not(
    run: Run, shared: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    others: list[str | None] = []
    functions = cast("dict[str, Any]", STEP_FUNCTIONS)

    def note(context: FailoverContext) -> Figures:
        others.append(context.other.name if context.other else None)
        raise OpsError("enough")

    for name in ("catch-up", "check"):
        monkeypatch.setitem(functions, name, note)
    for words in (("--planned",), ()):
        with pytest.raises(OpsError, match="enough"):
            run("failover", "--to", B, "--yes", "--folder", str(tmp_path), *words)
    assert others == [A, None]


@pytest.mark.parametrize(("words", "fatal"), [((), True), (("--names-by-hand",), False)])
def test_a_zone_that_cannot_be_reached_is_told_before_the_lease(
    run: Run, shared: Harness, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], fatal: bool
) -> None:
    for name in ("kafka", "_gateway", "_metrics", "_agent"):
        monkeypatch.setattr(f"ops.regions.takeover.{name}", lambda *_: "well")
    gone = {"zone": ZONE, "names": {"otlp": NAME}, "ttl_s": 1, "endpoint": f"http://127.0.0.1:{free_port()}"}
    result = run("failover", "--to", B, "--dry-run", "--json", *words, dns=gone)
    checks = {check["name"]: check["problem"] for check in json.loads(result.stdout)["checks"]}
    assert checks["names"].startswith("Route 53: cannot find the zone")
    assert result.exit_code == fatal
    if fatal:
        with pytest.raises(OpsError, match=r"^check: region-b cannot take over: .*Route 53: cannot find the zone"):
            run("failover", "--to", B, "--yes", dns=gone)
        assert shared.witness.lease() is None


def test_a_region_of_another_revision_is_named_and_compared(shared: Harness, made_up: Mapping[str, Any]) -> None:
    newer = {**json.loads(dump(shared.beat(A))), "shards": 3}
    stored = shared.witness.read(region_key(A))
    assert stored is not None
    shared.witness.write(region_key(A), newer, stored[1])
    with opened(platform=shared.platform(made_up, B)) as target:
        answer = takeover.parity(target, shared.witness, fatal=True)
    assert str(answer) == (
        "parity: 2 definitions are the same in region-a; its failover agent is of another revision: shards not known"
    )


def test_names_by_hand_are_told_and_left_alone(run: Run, shared: Harness, made_up: Mapping[str, Any]) -> None:
    with opened(platform=shared.platform(made_up, B)) as target:
        context = FailoverContext(
            target=target,
            source=A,
            witness=shared.witness,
            journal=operation(shared.witness),
            by="me",
            tell=lambda _: None,
            names_by_hand=True,
        )
        assert names(context) == {"names": {}}
        assert context.problems == [f"lead {NAME} to 198.19.0.50 by hand"]
        assert answer(context) == ""
        context.names_by_hand = False
        assert answer(context) == "198.18.0.20"


@pytest.mark.parametrize("ahead_s", [-300.0, 300.0])
def test_a_clock_that_is_wrong_makes_no_region_alive_or_dead(run: Run, shared: Harness, ahead_s: float) -> None:
    shared.beat(A, ahead_s=ahead_s, notifies=False)
    shared.beat(B, notifies=True)
    assert run("regions").exit_code == 0
    shared.beat(A, age_s=60, ahead_s=ahead_s, notifies=False)
    assert "region-a gives no sign of life since 6" in run("regions").output
