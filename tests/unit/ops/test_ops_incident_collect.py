"""Collecting while servers are down, slow or broken: always an answer, in time, with what was seen before."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import Platform, parse
from ops.incidents.collect import SOURCES, Answer, Case, Clients, Lazy, collect, missing
from ops.incidents.document import Language, Texts, html
from ops.incidents.evidence import Evidence, Source
from ops.incidents.record import Incident, TimeFormat, TimeWindow, zone
from ops.incidents.report import Parts, document
from ops.incidents.sources import FIELDS, permitted
from tests.config.pki import write_certificates
from tests.config.servers import free_port
from tests.unit.ops import incident_samples as samples

WINDOW = TimeWindow(start=samples.after(-30), end=samples.after(80))
Collector = Callable[[Clients, Case], Answer]


def no_cluster(platform: Platform) -> Kube:
    raise OpsError(f"the cluster of {platform.namespace} does not answer")


@pytest.fixture
def platform(tmp_path: Path, outputs: dict[str, Any]) -> Platform:
    """A platform of which nothing answers: every address is a port that refuses."""
    write_certificates(tmp_path)
    port = free_port()
    base = f"https://localhost:{port}"
    login = {"username": "someone", "password": "a-long-password"}
    return parse(
        {
            **outputs,
            "ca_certificate": (tmp_path / "ca.crt").read_text(),
            "kafka_bootstrap": f"localhost:{port}",
            "query_url": base,
            "alertmanager_url": base,
            "alertmanager_operator": login,
            "trace_query_urls": {"internal": base},
            "trace_login": {"issuer": base, "client_id": "ops", "client_secret": "secret-of-the-tool"},
            "log_reader": login,
        }
    )


@pytest.fixture
def clients(platform: Platform) -> Iterator[Clients]:
    opened_reach = Clients(lambda: platform, no_cluster)
    yield opened_reach
    opened_reach.close()


def gather(clients: Clients, incident: Incident | None = None, **options: Any) -> Evidence:
    return collect(clients, incident or samples.incident(), WINDOW, **{"clearance": "internal", **options})


def answering(**fields: Any) -> Collector:
    return lambda clients, case: Answer(fields=fields)


def failing(error: Exception) -> Collector:
    def fail(clients: Clients, case: Case) -> Answer:
        raise error

    return fail


def test_a_platform_of_which_nothing_answers_makes_a_report_that_says_so(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    begun = time.monotonic()
    evidence = gather(clients)
    assert time.monotonic() - begun < 60
    problems = {name: source.problem for name, source in missing(evidence)}
    assert set(problems) == set(SOURCES)
    for name in ("firing", "metrics", "silences", "traces"):
        assert "refused" in problems[name], problems[name]
    assert "does not answer" in problems["cluster"]
    assert "does not answer" in problems["logs"]
    assert "pulumi" in problems["changes"]
    assert "Kafka" in problems["events"]
    assert "a-long-password" not in evidence.model_dump_json()
    parts = Parts(samples.incident(), evidence, samples.after(90), Texts(Language.BOTH), TimeFormat(zone("UTC")))
    text = html(document(parts))
    assert text.count("Not collected: ") == len(SOURCES) - 1


def test_a_platform_that_is_not_known_is_no_error_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    calls = []

    def load() -> Platform:
        calls.append(1)
        raise OpsError("cannot read the stack's outputs")

    clients = Clients(load, no_cluster)
    evidence = gather(clients)
    clients.close()
    problems = {source.problem for name, source in missing(evidence) if name != "changes"}
    assert problems == {"cannot read the stack's outputs"}
    assert calls == [1]


def test_what_answers_is_kept_though_something_else_fails(clients: Clients) -> None:
    log = samples.evidence().logs[0]
    evidence = gather(clients, sources={"logs": answering(logs=(log,)), "traces": failing(OpsError("no"))})
    assert evidence.logs == (log,)
    assert [name for name, _ in missing(evidence)] == ["traces"]
    assert evidence.sources["logs"].collected is not None
    assert (evidence.start, evidence.end) == (WINDOW.start, WINDOW.end)


@pytest.mark.parametrize("error", [ValueError("odd\nanswer"), KeyError("data"), RuntimeError(), MemoryError("x" * 900)])
def test_any_failure_of_a_source_is_one_line(clients: Clients, error: Exception) -> None:
    problem = gather(clients, sources={"logs": failing(error)}).sources["logs"].problem
    assert type(error).__name__ in problem
    assert "\n" not in problem
    assert len(problem) < 250


def test_a_source_that_gives_no_answer_is_not_waited_for(clients: Clients) -> None:
    stop = threading.Event()

    def hang(clients: Clients, case: Case) -> Answer:
        stop.wait(200)
        return Answer(fields={"logs": ()})

    begun = time.monotonic()
    evidence = gather(clients, sources={"logs": hang, "silences": answering(silences=())}, limit_s=0.5)
    stop.set()
    assert time.monotonic() - begun < 60
    assert evidence.sources["logs"].problem == "no answer within 0.5 s"
    assert not evidence.sources["silences"].problem


def test_sources_are_asked_at_the_same_time(clients: Clients) -> None:
    meeting = threading.Barrier(3, timeout=60)

    def wait(clients: Clients, case: Case) -> Answer:
        meeting.wait()
        return Answer(fields={})

    evidence = gather(clients, sources=dict.fromkeys(("logs", "traces", "silences"), wait))
    assert not list(missing(evidence))


def test_what_was_collected_before_stays_where_a_source_fails_now(clients: Clients) -> None:
    before = samples.evidence()
    evidence = gather(
        clients, before=before, sources={"traces": failing(OpsError("gone")), "logs": failing(OpsError("x"))}
    )
    assert evidence.traces == before.traces
    assert evidence.clearance == "internal"
    assert evidence.sources["traces"].collected == before.sources["traces"].collected
    assert evidence.sources["traces"].problem == "gone"
    assert evidence.sources["logs"].collected is None
    assert evidence.logs == ()


def test_what_a_source_has_forgotten_since_stays_with_its_time(clients: Clients) -> None:
    before = samples.evidence(sources={**samples.evidence().sources, "logs": Source(collected=samples.after(69))})
    fields = {name: () for name in Evidence.model_fields if isinstance(getattr(before, name), tuple)}
    sources = {
        name: answering(**{field: fields[field] for field in names if field in fields})
        for name, names in FIELDS.items()
    }
    evidence = gather(clients, before=before, sources=sources)
    for name in fields:
        assert getattr(evidence, name) == getattr(before, name), name
    for name, source in evidence.sources.items():
        assert source.kept == len(getattr(before, FIELDS[name][0])), name
        assert source.kept_since == before.sources[name].collected, name
        assert not source.problem
    again = gather(clients, before=evidence, sources=sources)
    assert again.traces == before.traces
    assert again.sources["traces"].kept_since == before.sources["traces"].collected


def test_what_is_told_again_is_there_once_and_as_it_is_now(clients: Clients) -> None:
    before = samples.evidence()
    silence = before.silences[0].model_copy(update={"end": samples.after(30)})
    later = before.traces[1].model_copy(update={"trace_id": "cc", "at": samples.after(9)})
    evidence = gather(
        clients,
        before=before,
        sources={
            "silences": answering(silences=(silence,)),
            "traces": answering(traces=(before.traces[0], later), clearance="public"),
            "changes": answering(changes=before.changes),
        },
    )
    assert evidence.silences == (silence,)
    assert evidence.traces == (*before.traces, later)
    assert evidence.clearance == "internal"
    assert [evidence.sources[name].kept for name in ("silences", "traces", "changes")] == [0, 1, 0]


def test_series_and_spells_of_which_the_beginning_is_forgotten_keep_it(clients: Clients) -> None:
    before = samples.evidence()
    chart, spell = before.measured[0], before.firing[1]
    rest = chart.model_copy(
        update={
            "step_s": 60,
            "lines": tuple(line.model_copy(update={"points": line.points[40::2]}) for line in chart.lines),
        }
    )
    short = spell.model_copy(update={"start": samples.after(11), "end": None})
    evidence = gather(
        clients, before=before, sources={"metrics": answering(measured=(rest,)), "firing": answering(firing=(short,))}
    )
    drawn = evidence.measured[0]
    assert len(evidence.measured) == 2
    for line, whole, part in zip(drawn.lines, chart.lines, rest.lines, strict=True):
        assert line.points == whole.points[:40] + part.points
    assert drawn.step_s == 60
    assert evidence.firing[1] == spell.model_copy(update={"end": None})
    assert len(evidence.firing) == len(before.firing)


def test_a_secret_that_is_cut_out_does_not_make_a_line_two(clients: Clients) -> None:
    def leak(clients: Clients, case: Case) -> Answer:
        clients.platform  # noqa: B018  (its passwords are known from then on)
        return Answer(fields={"logs": (samples.evidence().logs[0].model_copy(update={"text": "a-long-password"}),)})

    before = gather(clients, sources={"logs": leak})
    assert len(gather(clients, before=before, sources={"logs": leak}).logs) == 1


@pytest.mark.parametrize(
    ("clearance", "count", "named"), [("public", 0, "public"), ("confidential", 2, "internal"), ("", 2, "internal")]
)
def test_traces_above_the_clearance_that_is_asked_for_are_not_shown(clearance: str, count: int, named: str) -> None:
    seen = permitted(samples.evidence(), clearance)
    assert (len(seen.traces), seen.clearance) == (count, named)


def test_passwords_of_the_platform_do_not_stay_in_the_evidence(clients: Clients) -> None:
    line = samples.evidence().logs[0].model_copy(update={"text": "login with a-long-password failed"})

    def leak(clients: Clients, case: Case) -> Answer:
        clients.platform  # noqa: B018  (its passwords are known from then on)
        return Answer(fields={"logs": (line,)})

    sources = {"logs": leak, "traces": failing(OpsError("bad: secret-of-the-tool"))}
    evidence = gather(clients, sources=sources)
    assert evidence.logs[0].text == "login with [secret] failed"
    assert evidence.sources["traces"].problem == "bad: [secret]"


def test_every_field_of_the_evidence_belongs_to_a_source() -> None:
    assert set(FIELDS) == set(SOURCES)
    fields = {name for names in FIELDS.values() for name in names}
    assert fields == set(Evidence.model_fields) - {"version", "start", "end", "cut", "sources"}


def test_a_clearance_that_is_none_is_refused(clients: Clients) -> None:
    with pytest.raises(OpsError, match="--clearance is 'secret', must be one of public, internal, confidential"):
        gather(clients, clearance="secret")


def test_traces_above_the_clearance_of_the_stack_are_not_read(clients: Clients) -> None:
    evidence = gather(clients, clearance="confidential", sources={"traces": SOURCES["traces"]})
    assert evidence.sources["traces"].problem == "--clearance is 'confidential', must be one of internal"


def test_a_layer_that_sends_no_traces_is_remarked(clients: Clients) -> None:
    device = samples.incident(alert=samples.alert(layer="device", labels={"alertname": "A"}))
    evidence = gather(clients, device, sources={"traces": SOURCES["traces"]})
    assert evidence.sources["traces"].remark == "no service of this alert or its layer sends traces"


def test_progress_tells_every_source_once(clients: Clients) -> None:
    told: list[str] = []
    sources = {"logs": failing(OpsError("x")), "silences": answering(silences=())}
    gather(clients, sources=sources, done=told.append)
    assert sorted(told) == ["logs", "silences"]


def test_something_that_failed_once_fails_the_same_way_for_all() -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        raise OpsError("no")

    once = Lazy(make)
    for _ in range(3):
        with pytest.raises(OpsError, match="no"):
            once.get()
    assert calls == [1]
    assert once.existing() is None


def test_something_is_made_once_for_several_threads() -> None:
    calls: list[int] = []

    def make() -> int:
        time.sleep(0.05)
        calls.append(1)
        return os.getpid()

    once = Lazy(make)
    threads = [threading.Thread(target=once.get) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert calls == [1]
    assert once.existing() == os.getpid()
