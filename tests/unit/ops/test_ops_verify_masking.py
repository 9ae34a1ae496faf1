"""O3 against a fake of the platform that masks, or does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.masking import EXAMPLES
from ops.checks import ingest
from ops.core.context import Context
from ops.core.errors import OpsError

SECRETS = {name: secret for name, _, secret in ingest.examples()}


def masked(name: str, text: str) -> str:
    """What a gateway makes of an example."""
    return text.replace(SECRETS[name], "[masked]") if SECRETS[name] else text


@dataclass
class Platform:
    """A gateway with Kafka behind it."""

    mask: Callable[[str, str], str] = masked
    status: int = 200
    lost: int = 0
    records: list[bytes] = field(default_factory=list)

    @property
    def context(self) -> Context:
        stub = SimpleNamespace(
            otlp=SimpleNamespace(post=self.post, login=lambda layer: (layer, "secret")),
            kafka=SimpleNamespace(end_offsets=lambda _: {0: 0}, read=self.read),
        )
        return cast(Context, stub)

    def post(self, signal: str, body: bytes, login: tuple[str, str]) -> tuple[int, bytes]:
        assert (signal, login[1]) == ("logs", "secret")
        request = ExportLogsServiceRequest.FromString(body)
        records = request.resource_logs[0].scope_logs[0].log_records
        for record in records:
            record.body.string_value = self.mask(record.attributes[0].value.string_value, record.body.string_value)
        del records[: self.lost]
        self.records.append(request.SerializeToString())
        return self.status, b""

    def read(self, topic: str, start: dict[int, int], seconds: float) -> Iterator[Any]:
        del topic, seconds
        for offset in range(start[0], len(self.records)):
            yield SimpleNamespace(
                partition=lambda: 0,
                offset=lambda offset=offset: offset,
                value=lambda offset=offset: self.records[offset],
            )


@pytest.fixture(autouse=True)
def _drills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_ARRIVAL_SECONDS", 0.2)


def test_a_gateway_that_masks_passes() -> None:
    finding = ingest.o3(Platform().context)
    assert finding.wrong == []
    assert finding.figures[0].startswith("0 of ")


def test_every_rule_has_examples_of_both_kinds() -> None:
    for rule in EXAMPLES:
        assert any(name.startswith(f"{rule.id}-dirty-") for name in SECRETS)
        assert any(name.startswith(f"{rule.id}-clean-") for name in SECRETS)


def test_a_rule_that_lets_its_example_through_is_named() -> None:
    name = next(name for name, secret in SECRETS.items() if secret)
    wrong = ingest.o3(Platform(mask=lambda own, text: text if own == name else masked(own, text)).context).wrong
    assert wrong == [f"readable in Kafka: {name}"]


def test_a_rule_that_harms_what_is_clean_is_named() -> None:
    name = next(name for name, secret in SECRETS.items() if not secret)
    wrong = ingest.o3(Platform(mask=lambda own, text: "[x]" if own == name else masked(own, text)).context).wrong
    assert wrong == [f"changed although they contain nothing sensitive: {name}"]


def test_a_gateway_that_refuses_the_examples_is_found() -> None:
    with pytest.raises(OpsError, match="answered 400 to the examples"):
        ingest.o3(Platform(status=400).context)


def test_examples_that_never_arrive_are_found() -> None:
    with pytest.raises(OpsError, match="in vain for the examples in Kafka"):
        ingest.o3(Platform(lost=1).context)
