"""The corpus through the real gateway: nothing that must not be readable is, and what is clean stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.text_format import MessageToString

from components.masking import EXAMPLES, pseudonym
from components.telemetry.layers import Signal
from tests.config.gateway_process import HASH_KEY, PASSWORDS, GatewayProcess, gateway_data, gateway_process
from tests.support.dirty.records import DIRTY_FILES, LAYER, Record, load, requests
from tests.support.dirty.records_by_case import Arrived, by_case, readable
from tests.support.dirty.sink import Sink, into_sink, sink

DIRTY = (
    *(record for name in DIRTY_FILES for record in load(name)),
    *(
        Record(f"rule-{rule.id}-{number}", "log.body", text, secrets=(secret,))
        for rule in EXAMPLES
        for number, (text, secret) in enumerate(rule.dirty)
    ),
)
CLEAN = (
    *load("clean"),
    *(
        Record(f"kept-{rule.id}-{number}", "log.body", text)
        for rule in EXAMPLES
        for number, text in enumerate(rule.clean)
    ),
)


@dataclass(frozen=True)
class Passed:
    """A gateway, what it was sent, what came out of it, and what it answered about what did not."""

    gateway: GatewayProcess
    sink: Sink
    sent: dict[str, Arrived]
    arrived: dict[str, Arrived]
    refused: dict[str, str]


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passed]:
    folder = tmp_path_factory.mktemp("masking")
    config = gateway_data(folder)
    sent: dict[str, Arrived] = {}
    arrived: dict[str, Arrived] = {}
    refused: dict[str, str] = {}
    with sink() as kept:
        into_sink(config, kept.port)
        with gateway_process(folder, config) as gateway:
            for signal, bodies in requests((*DIRTY, *CLEAN)).items():
                raw = [body.SerializeToString() for body in bodies]
                sent |= by_case(signal, raw)
                for body in raw:
                    answer = gateway.post(signal.value, body, LAYER, PASSWORDS[LAYER])
                    assert answer.status_code in (200, 400), answer.text
                    if answer.status_code == 400:
                        refused |= dict.fromkeys(by_case(signal, [body]), answer.text)
                arrived |= by_case(signal, kept.bodies[signal])
            yield Passed(gateway, kept, sent, arrived, refused)


def text_of(message: object) -> str:
    return str(MessageToString(message, as_utf8=True, as_one_line=True))


def test_the_corpus_is_large_enough() -> None:
    files = {name: len(load(name)) for name in (*DIRTY_FILES, "clean")}
    print(f"corpus: {files}, {len(DIRTY)} dirty and {len(CLEAN)} clean records with the rules' own examples")
    assert sum(files[name] for name in DIRTY_FILES) >= 300
    assert files["nasty"] >= 100
    assert files["clean"] >= 100
    names = [record.id for record in (*DIRTY, *CLEAN)]
    assert len(names) == len(set(names))
    assert all(record.secrets for record in DIRTY)


def test_every_secret_can_be_read_before() -> None:
    raw = {
        name: arrived
        for signal, bodies in requests(load("japanese") + load("english")).items()
        for name, arrived in by_case(signal, [body.SerializeToString() for body in bodies]).items()
    }
    hidden = [record.id for record in load("japanese") + load("english") if not readable(record, raw)]
    assert hidden == []


def test_no_secret_can_be_read_afterwards(passed: Passed) -> None:
    missing = {record.id for record in DIRTY} - set(passed.arrived)
    assert missing <= set(passed.refused), "what did not arrive was refused, and its client told so"
    assert {record.at for record in DIRTY if record.id in missing} <= {"metric.name", "point.attribute"}
    leaks = {
        record.id: cases
        for record in DIRTY
        if record.id in passed.arrived and (cases := readable(record, passed.arrived))
    }
    print(f"masking: {len(leaks)} of {len(DIRTY)} dirty records readable")
    assert leaks == {}


def test_the_answer_to_a_client_tells_no_secret(passed: Passed) -> None:
    told = [
        (record.id, secret)
        for record in DIRTY
        for secret in record.secrets
        if secret in passed.refused.get(record.id, "")
    ]
    assert told == []


def test_clean_records_are_as_they_were(passed: Passed) -> None:
    changed = {
        record.id: (text_of(passed.sent[record.id].record), text_of(passed.arrived[record.id].record))
        for record in CLEAN
        if record.id not in passed.arrived
        or passed.sent[record.id].record.SerializeToString(deterministic=True)
        != passed.arrived[record.id].record.SerializeToString(deterministic=True)
    }
    print(f"masking: {len(changed)} of {len(CLEAN)} clean records changed")
    assert changed == {}


def test_resources_keep_versions_and_pods(passed: Passed) -> None:
    for record in CLEAN:
        if record.at == "resource.attribute":
            [value] = [
                attribute.value
                for attribute in passed.arrived[record.id].resource.attributes
                if attribute.key == record.key
            ]
            assert value.string_value == record.value


@pytest.mark.parametrize("case", ["nasty-key-worker-id", "nasty-key-user-id", "nasty-key-shain"])
def test_ids_become_pseudonyms_that_the_key_explains(passed: Passed, case: str) -> None:
    [record] = [record for record in DIRTY if record.id == case]
    assert pseudonym(record.value, HASH_KEY) in passed.arrived[case].text


def test_the_gateways_own_log_tells_nothing(passed: Passed) -> None:
    log = Path(passed.gateway.folder / "otelcol.log").read_text()
    assert [secret for record in DIRTY for secret in record.secrets if len(secret) > 7 and secret in log] == []
    assert HASH_KEY not in log
    assert PASSWORDS[LAYER] not in log


def test_every_signal_was_part_of_it(passed: Passed) -> None:
    assert all(passed.sink.bodies[signal] for signal in Signal)
