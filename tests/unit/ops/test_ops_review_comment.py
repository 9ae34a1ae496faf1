"""The Markdown comment."""

from __future__ import annotations

from dataclasses import replace

from ops.review.comment import LIMIT, MARKER, escaped, render
from ops.review.review import Review, StackReview, Verdicts, judged, parity, stack_review
from policy.model import Finding, Level, Resource, Rule
from policy.runner import Verdict
from tests.unit.ops.review_plans import acl, files, plan, secret_files, topic

RULE = Rule(
    id="kafka-acls",
    promise="Only known users.",
    why="Others read.",
    sources=("K5",),
    resource=lambda resource, options: (),
)
SERVICE = Resource("kubernetes:core/v1:Service", "x", {"metadata": {"name": "x", "namespace": "obs"}})


def _verdict(problem: str, level: Level = Level.MANDATORY, *, unknown: bool = False, agreed: str = "") -> Verdict:
    finding = None if unknown else Finding(resource=SERVICE, where="spec", problem=problem, fix="mend it")
    return Verdict(
        rule=RULE,
        resource=SERVICE,
        finding=finding,
        level=level,
        message=f"Service obs/x, spec: {problem}. Others read. Fix: mend it.",
        unknown=unknown,
        agreed=agreed,
    )


def _stack(name: str = "prod", verdicts: Verdicts | None = None) -> StackReview:
    before = plan(topic(), secret_files(password="hunter2"))
    after = plan(topic(retention_ms=259_200_000), secret_files(password="hunter3"), acl("a", "Read", "Topic", "t"))
    review = stack_review(before, after, {}, checker=lambda resources, config: [])
    return replace(review, name=name, verdicts=verdicts or Verdicts())


def _review(*stacks: StackReview) -> Review:
    return Review(
        base="main (abc)",
        head="def",
        stacks=stacks,
        files=["a.py", "policy/b.py"],
        owners={("@example-org/security", "@example-org/platform"): ["policy/b.py"], (): ["a.py"]},
        parity=["only in prod: acls.x"],
        seconds=12.3,
    )


def test_the_comment_has_every_part_in_order() -> None:
    text = render(_review(_stack()))
    parts = [
        MARKER,
        "## Review: def against main (abc)",
        "**✅ No mandatory policy is violated.**",
        "| prod | 1 | 2 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "### What changes, in plain words",
        "- ⚠️ user a may now read t",
        "- ⚠️ topic telemetry-logs: records are kept 3 d instead of 14 d",
        "### What it costs",
        "**Data at risk**",
        "- topic telemetry-logs: records older than 3 d are deleted soon after the update, for good",
        "### Who must approve",
        "- `@example-org/security`, `@example-org/platform`: `policy/b.py`",
        "- nobody in particular: `a.py`",
        "### Parity of the regions (1 differences)",
        "- only in prod: acls.x",
        "<summary>prod: 3 of 4 resources</summary>",
        "**part**",
        "- `+` Acl a-read-topic-t",
        "- `~` Secret obs/secret",
        "  - `stringData.password`: changes (secret, not shown)",
        "- `~` Topic telemetry-logs",
        '  - `config."retention.ms"`: `1209600000` → `259200000`',
        "*2 files differ; 1 stacks, both revisions evaluated without a cluster in 12 s.*",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert text.startswith(MARKER + "\n")


def test_no_secret_is_in_the_comment() -> None:
    text = render(_review(_stack()))
    assert "hunter2" not in text
    assert "hunter3" not in text


def test_violations_stop_and_are_told_with_their_message() -> None:
    verdicts = Verdicts(
        new=(_verdict("open to all"),),
        old=(_verdict("weak", Level.ADVISORY),),
        solved=(_verdict("was open"),),
        agreed=(_verdict("agreed", agreed="until March (team, until 2027-03-31)"),),
        unknown=(_verdict("", unknown=True),),
    )
    review = _review(_stack(verdicts=verdicts))
    text = render(review)
    assert review.stopped
    assert "**❌ 1 mandatory policy violation stops this change.**" in text
    assert "| prod | 1 | 2 | 0 | 1 | 1 | 1 | 1 | 1 |" in text
    told = "Service obs/x, spec: open to all. Others read. Fix: mend it."
    assert f"### New violations (1)\n\n- **mandatory** `kafka-acls`: {told}\n" in text
    assert "### Violations that were there before (1)" in text
    assert "<summary>Solved (1)</summary>" in text
    assert "*Agreed: until March (team, until 2027-03-31)*" in text
    assert "<summary>Not known before the update, so not checked yet (1)</summary>" in text


def test_an_old_mandatory_violation_stops_as_well() -> None:
    assert _review(_stack(verdicts=Verdicts(old=(_verdict("open"),)))).stopped


def test_what_is_advisory_agreed_or_unknown_does_not_stop() -> None:
    verdicts = Verdicts(
        new=(_verdict("weak", Level.ADVISORY),),
        agreed=(_verdict("a", agreed="x"),),
        unknown=(_verdict("", unknown=True),),
    )
    assert not _review(_stack(verdicts=verdicts)).stopped


def test_a_line_names_its_stacks_unless_it_holds_for_all() -> None:
    one = render(_review(_stack("prod", Verdicts(new=(_verdict("open"),))), _stack("dr")))
    assert "Fix: mend it. *(prod)*" in one
    assert "- ⚠️ user a may now read t\n" in one


def test_verdicts_are_new_old_or_solved() -> None:
    old, new, gone = _verdict("old"), _verdict("new"), _verdict("gone")
    unknown, agreed = _verdict("", unknown=True), _verdict("agreed", agreed="x")
    verdicts = judged([old, gone, unknown], [old, new, unknown, agreed])
    assert (verdicts.new, verdicts.old, verdicts.solved) == ((new,), (old,), (gone,))
    assert (verdicts.agreed, verdicts.unknown) == ((agreed,), (unknown,))


def test_a_violation_that_becomes_an_exception_is_solved_and_agreed() -> None:
    covered = _verdict("open", agreed="x")
    verdicts = judged([_verdict("open")], [covered])
    assert (len(verdicts.solved), verdicts.agreed) == (1, (covered,))


def test_a_change_without_resources_says_so() -> None:
    before = plan(topic())
    text = render(_review(stack_review(before, before, {}, checker=lambda resources, config: [])))
    assert "**✅ No resource of any stack changes.**" in text
    assert "No pod restarts, nothing is replaced, no data is at risk." in text


def test_a_long_comment_is_shortened_to_what_the_forge_takes() -> None:
    before, after = (
        plan(*(files(f"f{number}", a__yaml={f"k{key}": text for key in range(40)}) for number in range(120)))
        for text in ("a" * 100, "b" * 100)
    )
    review = stack_review(before, after, {}, checker=lambda resources, config: [])
    text = render(_review(review))
    assert len(text) <= LIMIT
    assert "  - and 37 more values" in text or "  - 40 values" in text
    short = render(_review(review), limit=2_000)
    assert len(short) <= 2_000
    assert short.endswith("*Shortened: too long for a comment; `make review` shows all of it.*\n")
    assert short.count("<details>") == short.count("</details>")


def test_text_of_others_cannot_mention_people_or_bring_markup() -> None:
    assert escaped("<b>@team</b>\n*x* `<a@b>`") == "&lt;b&gt;@<!-- -->team&lt;/b&gt; \\*x\\* `<a@b>`"


def test_parity_tells_what_only_one_region_has() -> None:
    prod = plan(topic("a"), topic("b"))
    standby = plan(topic("a", partitions=12), topic("c"))
    told = parity({"prod": prod, "dr": standby})
    assert told is not None
    assert "topics.a.partitions: 6 in prod, 12 in dr" in told
    assert any(line.startswith("only in prod: topics.b") for line in told)
    assert any(line.startswith("only in dr: topics.c") for line in told)
    assert parity({"prod": prod, "dr": prod}) == []
    assert parity({"prod": prod}) is None
