"""Bookkeeping of the loads, and what they put on the wire."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.checks.ingest import identities
from ops.core import otlp
from ops.drills.tools.accounts import Ledger, gaps
from ops.drills.tools.load import numbers_of, sequence_request
from tests.support import exposure


def test_only_what_was_acknowledged_can_be_missing() -> None:
    ledger = Ledger()
    ledger.acknowledge([(0, 1), (0, 2), (1, 1)], at=10.0)
    ledger.give_up([(0, 3)])
    assert ledger.missing({(0, 1), (1, 1)}) == {(0, 2)}
    assert ledger.missing({(0, 1), (0, 2), (1, 1), (0, 9)}) == set()


def test_acknowledgements_are_counted_by_time() -> None:
    ledger = Ledger()
    ledger.acknowledge([(0, 1)], at=10.0)
    ledger.acknowledge([(0, 2), (0, 3)], at=14.0)
    assert ledger.count_between(9, 11) == 1
    assert ledger.count_between(11, 13) == 0
    assert ledger.longest_gap(9, 15) == 4.0
    assert ledger.longest_gap(20, 25) == 5.0


def test_problems_are_counted_by_kind() -> None:
    ledger = Ledger()
    for problem in ("HTTP 503", "HTTP 503", "no answer"):
        ledger.retry(problem)
    assert (ledger.retries, ledger.problems) == (3, {"HTTP 503": 2, "no answer": 1})


def test_gaps_are_neighbours_too_far_apart() -> None:
    assert gaps([5, 1, 2, 3], 1.5) == [(3, 5)]
    assert gaps([], 1.5) == []


def test_a_batch_has_each_number_at_a_millisecond_of_its_own() -> None:
    request = sequence_request("ab12", [(3, number) for number in range(100, 125)])
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    assert len({point.time_unix_nano // 1_000_000 for point in points}) == 25
    assert [point.as_double for point in points] == list(range(100, 125))


def test_numbers_are_found_in_a_record_of_their_own_run_only() -> None:
    record = sequence_request("ab12", [(3, 7), (3, 8)]).SerializeToString()
    assert numbers_of(record, "ab12") == {(3, 7), (3, 8)}
    assert numbers_of(record, "ffff") == set()
    assert numbers_of(b"\x00", "ab12") == set()


def test_the_identity_of_a_resource_is_its_device_else_its_service() -> None:
    request = ExportMetricsServiceRequest()
    for resource in (
        otlp.resource_of("device", "device-agent", "i", device="d1"),
        otlp.resource_of("business", "work-api", "i"),
    ):
        request.resource_metrics.add().resource.attributes.extend(otlp.attributes(resource))
    assert list(identities(request.resource_metrics, traces=False)) == ["device_id=d1", "service.name=work-api"]


def test_the_identity_of_a_span_is_its_trace() -> None:
    request = otlp.span(otlp.resource_of("business", "work-api", "i"), "x")
    trace = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    assert list(identities(request.resource_spans, traces=True)) == [trace]


def test_the_search_finds_a_secret_in_the_clear_and_in_base64_and_names_only_it() -> None:
    hidden = {"a": "S3cretS3cretS3cret", "b": "An0therAn0ther"}
    assert exposure.exposed(hidden, "password: S3cretS3cretS3cret") == ["a"]
    assert exposure.exposed(hidden, "UzNjcmV0UzNjcmV0UzNjcmV0") == ["a"]
    assert exposure.exposed(hidden, "nothing") == []
