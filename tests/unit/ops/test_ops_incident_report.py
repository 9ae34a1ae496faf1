"""The report: what is in it, in both languages and both formats, and that no text in it becomes markup."""

from __future__ import annotations

import html as html_module
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.incidents.collect import SOURCES
from ops.incidents.document import TEXTS, Language, Texts, escaped, html, markdown, paragraph, write
from ops.incidents.evidence import Evidence, Source
from ops.incidents.record import Incident, Phase, TimeFormat, zone
from ops.incidents.report import MOST_ENTRIES, Parts, document, labels_of
from tests.unit.ops import incident_samples as samples

HOSTILE = '<script>alert("x")</script> <img src=x onerror=alert(1)> | `code` [link](javascript:alert(1)) **b** \x1b[31m'


def parts(
    incident: Incident | None = None,
    evidence: Evidence | None = None,
    language: Language = Language.ENGLISH,
    now: datetime | None = None,
) -> Parts:
    return Parts(
        incident or samples.incident(),
        evidence or samples.evidence(),
        now or samples.after(90),
        Texts(language),
        TimeFormat(UTC),
    )


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(**options: Any) -> Page:
    return Page(html(document(parts(**options))))


def test_the_page_has_summary_impact_timeline_and_the_four_phases_in_order() -> None:
    text = page().text
    titles = [
        "Summary",
        "Impact",
        "Timeline",
        "1. Immediate response, within 15 minutes",
        "2. Root cause analysis",
        "3. Recovery",
        "4. Follow-up",
        "What could not be collected",
        "Metrics that were used",
    ]
    places = [text.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("render", [html, markdown])
def test_everything_that_was_collected_is_in_the_report(render: Any) -> None:
    text = html_module.unescape(render(document(parts()))).replace("\\", "")
    for expected in (
        "INC-20261124-01",
        samples.ALERT_ID,
        "Met: responded after 4 min 30 s, 10 min 30 s before the limit",
        "operators-critical",
        "0af7651916cd43dd8448eb211c80319c",
        "update 41",
        "exit code 1, 2 restarts so far",
        "The update of 22:04 gave the recorder a storage address that does not answer.",
        "Rolled the recorder back",
        "Test uploads before a rollout",
        "2026-12-01",
        "Not collected: no pod of search is ready in namespace obs-local",
        "As of 2026-11-24 22:40:00; not readable since: the cluster does not answer: timed out",
        "2 of 90, the most telling ones",
        "sum by (job, site) (rate(recording_failures_total[5m]))",
        "1 of 40 series",
        "https://runbooks.example.org/RecordingFailures.md",
        "secondary",
        "Holds telemetry of the classes up to: internal",
    ):
        assert expected in text, expected


def test_headings_are_in_the_language_that_is_asked_for() -> None:
    japanese, both = page(language=Language.JAPANESE).text, page(language=Language.BOTH).text
    assert "1. 即座対応（15分以内）" in japanese
    assert "Immediate response" not in japanese
    assert "達成：4分30秒で対応開始（期限まで10分30秒）" in japanese
    assert "2. Root cause analysis / 根本原因分析" in both
    assert "根本原因" not in page().text
    assert '<html lang="ja">' in html(document(parts(language=Language.JAPANESE)))


def test_every_word_has_both_languages_with_the_same_names_to_fill_in() -> None:
    for key, (english, japanese) in TEXTS.items():
        assert english, key
        assert japanese, key
        names = [set(re.findall(r"(?<!\{)\{(\w+)\}", text)) for text in (english, japanese)]
        assert names[0] == names[1], key


def test_every_source_and_every_kind_of_entry_has_words() -> None:
    assert {f"from.{name}" for name in SOURCES} <= set(TEXTS)
    used = re.findall(r'kind="(\w+)"', (Path(__file__).parents[3] / "ops/incidents/evidence.py").read_text())
    assert len(used) > 5
    assert {f"event.{kind}" for kind in used} <= set(TEXTS)
    assert {f"phase.{phase}" for phase in Phase} <= set(TEXTS)


@pytest.mark.parametrize(
    ("minutes", "state", "text"),
    [
        (None, "overdue", "Missed by 1 h 15 min and counting: nobody has responded for 1 h 30 min"),
        (20, "missed", "Missed by 5 min 0 s: responded after 20 min 0 s"),
        (10, "met", "Met: responded after 10 min 0 s, 5 min 0 s before the limit"),
    ],
)
def test_the_clock_is_shown_as_a_bar_with_the_limit(minutes: float | None, state: str, text: str) -> None:
    notes = () if minutes is None else (samples.note("on it", minutes, first_response=True),)
    page = html(document(parts(samples.incident(notes=notes, closed=None))))
    assert text in page
    assert f'class="dial {state}"' in page
    used, limit = (
        float(re.search(rf'class="{name}" style="{key}:([\d.]+)%', page)[1])
        for name, key in (("used", "width"), ("mark", "left"))  # type: ignore[index]
    )
    assert 0 <= used <= 100
    assert (used > limit) is (state != "met")


def test_an_open_incident_says_that_it_is_a_draft() -> None:
    assert "The incident is open" in page(incident=samples.incident(closed=None)).text
    assert "The incident is open" not in page().text


def test_there_are_rows_to_fill_in_for_actions() -> None:
    text = markdown(document(parts(samples.incident(notes=()))))
    assert text[text.index("### Actions") :].split("\n")[2:7] == [
        "| Action | Owner | Due |",
        "|---|---|---|",
        *["|  |  |  |"] * 3,
    ]


def test_a_report_without_any_evidence_is_a_report() -> None:
    sources = {name: Source(collected=None, problem="connection refused") for name in SOURCES}
    nothing = Evidence(start=samples.after(-30), end=samples.after(80), sources=sources)
    text = page(evidence=nothing, incident=samples.incident(notes=(), cause="")).text
    assert text.count("Not collected: connection refused") == len(SOURCES) - 1
    assert "not written yet" in text
    assert "Holds telemetry" not in text
    assert "No other alert of the layer fired" not in text


def test_an_incident_of_the_platform_itself_has_no_layer() -> None:
    own = samples.incident(alert=samples.alert(layer="", labels={"alertname": "KafkaBrokerDown"}))
    assert "the monitoring platform itself" in page(incident=own).text


def hostile() -> tuple[Incident, Evidence]:
    """An incident in which every text is an attack."""
    incident = samples.incident(
        title=HOSTILE,
        opened_by=HOSTILE,
        cause=HOSTILE,
        alert=samples.alert(
            alert_id=HOSTILE,
            name=HOSTILE,
            layer=HOSTILE,
            labels={"alertname": HOSTILE, HOSTILE: HOSTILE},
            annotations={"summary": HOSTILE, "description": HOSTILE, "runbook_url": f"javascript:{HOSTILE}"},
        ),
        notes=(samples.note(HOSTILE, 1, author=HOSTILE), samples.note(HOSTILE, 2, Phase.FOLLOW_UP, owner=HOSTILE)),
    )
    evidence = samples.evidence()
    values = evidence.model_dump()

    def attack(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            fixed = ("kind", "state", "data_class", "status", "comparison", "unit", "trace_id")
            return value if key in fixed else HOSTILE
        if isinstance(value, dict):
            return {name: attack(nested, name) for name, nested in value.items()}
        if isinstance(value, list | tuple):
            return [attack(nested, key) for nested in value]
        return value

    attacked = {name: attack(value) for name, value in values.items() if name != "sources"}
    sources = {name: {**source, "problem": HOSTILE, "remark": HOSTILE} for name, source in values["sources"].items()}
    return incident, Evidence.model_validate({**attacked, "sources": sources})


def test_hostile_texts_do_not_become_html() -> None:
    incident, evidence = hostile()
    written = html(document(parts(incident, evidence)))
    page = Page(written)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [value for name, value in page.attributes if name == "href" and "javascript" in (value or "").lower()]
    assert page.text.count('alert("x")') > 20
    assert "\x1b" not in written


def test_hostile_texts_do_not_become_markdown_or_html_in_markdown() -> None:
    incident, evidence = hostile()
    text = markdown(document(parts(incident, evidence)))
    outside = re.sub(r"(`+) .*? \1", "", text)
    assert "<script" not in outside
    assert "<img" not in outside
    assert not re.search(r"(?<!\\)\[link", outside)
    assert not re.search(r"(?<!\\)\*\*b", outside)
    assert "\x1b" not in text
    heads = [line for line in text.splitlines() if line.startswith("|---")]
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| |")):
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            assert cells in {head.count("---") for head in heads}, line


def test_the_page_loads_nothing_and_says_so_to_the_browser() -> None:
    written = html(document(parts()))
    assert "default-src 'none'" in written
    page = Page(written)
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("href", "src") and value]
    assert [address for address in addresses if not address.startswith("#")] == [
        "https://runbooks.example.org/RecordingFailures.md"
    ]


def test_the_charts_are_inside_the_page_and_files_beside_the_markdown(tmp_path: Path) -> None:
    written = document(parts())
    files = write(written, "INC-20261124-01", tmp_path / "new" / "folder", frozenset())
    names = [file.name for file in files]
    assert names == [
        "INC-20261124-01.md",
        "INC-20261124-01.html",
        "INC-20261124-01-chart-1.svg",
        "INC-20261124-01-chart-2.svg",
    ]
    texts = {file.name: file.read_text() for file in files}
    assert texts["INC-20261124-01.html"].count("<svg ") == 2
    for name in names[2:]:
        assert f"]({name})" in texts["INC-20261124-01.md"]
        assert texts[name].startswith("<svg ")
    assert not list((tmp_path / "new" / "folder").glob(".*"))


def test_secrets_that_people_pasted_are_in_no_file(tmp_path: Path) -> None:
    incident = samples.incident(notes=(samples.note("the password is hunter2-hunter2", 1),))
    for file in write(document(parts(incident)), "INC-1", tmp_path, frozenset({"hunter2-hunter2"})):
        text = file.read_text()
        assert "hunter2" not in text
        assert "chart" in file.name or "the password is" in text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match=r"--out is .*/file: it cannot be written"):
        write(document(parts()), "INC-1", tmp_path / "file", frozenset())


def test_a_very_long_timeline_is_cut_to_what_tells_the_story() -> None:
    line = samples.evidence().logs[0]
    many = tuple(line.model_copy(update={"at": samples.after(5 * step), "service": "x"}) for step in range(200))
    text = page(evidence=samples.evidence(logs=many)).text
    timeline = text[text.index("\nTimeline\n") : text.index("1. Immediate")]
    assert "Errors logged" not in timeline
    assert "First response" in timeline
    assert MOST_ENTRIES < 200
    assert re.search(
        r"\d+ of 22\d entries are here, the most telling ones: `ops incident timeline` shows all", timeline
    )
    assert "entries are here" not in page().text


def test_of_a_very_long_story_begin_and_end_are_told_and_that_it_is_cut() -> None:
    told = samples.evidence().notifications[0]
    many = tuple(told.model_copy(update={"at": samples.after(step / 5), "receiver": f"n{step}"}) for step in range(300))
    text = page(evidence=samples.evidence(notifications=many)).text
    timeline = text[text.index("\nTimeline\n") : text.index("1. Immediate")]
    assert f"{MOST_ENTRIES} of 31" in timeline
    assert "Alert began to fire" in timeline
    assert "Incident closed" in timeline
    assert "n150:" not in timeline


def test_what_a_source_has_forgotten_is_told_with_its_time() -> None:
    source = Source(collected=samples.after(70), kept=7, kept_since=samples.after(10))
    evidence = samples.evidence(sources={**samples.evidence().sources, "traces": source})
    text = page(evidence=evidence).text
    kept = "7 entries are of earlier looks, since 2026-11-24 22:20:00: the source does not tell them any more"
    assert text.count(kept) == 2


def test_times_are_in_the_zone_that_is_asked_for() -> None:
    tokyo = parts()
    tokyo.time_format = TimeFormat(zone("Asia/Tokyo"))
    text = Page(html(document(tokyo))).text
    assert "2026-11-25 07:10:00" in text
    assert "07:14:30" in text
    assert "22:14:30" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>", "&lt;b&gt;"),
        ("two\nlines", "two lines"),
        ("_x_ and a_b", "\\_x\\_ and a_b"),
        ("# no heading", "# no heading"),
        ("1. no list", "1. no list"),
    ],
)
def test_markdown_is_escaped_where_it_means_something(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("# no", "\\# no"), ("1. no", "1\\. no"), ("- no", "\\- no")])
def test_more_is_escaped_at_the_beginning_of_a_line(text: str, expected: str) -> None:
    assert paragraph(text) == expected


def test_series_are_named_by_what_tells_them_apart() -> None:
    common = {"__name__": "up", "job": "recorder", "region": "here"}
    assert labels_of([{**common, "site": "a"}, {**common, "site": "b"}]) == ["site=a", "site=b"]
    assert labels_of([common]) == ["job=recorder"]
    assert labels_of([{"__name__": "up"}, {}]) == ["up", "value"]
