"""The collector's configuration in the real Jaeger, with a fake for the search cluster."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import requests

from components.collector.config import rendered
from components.jaeger.config import BULK_ACTIONS, Strategies
from lab.toolchain import tools
from tests.config.jaeger_process import (
    SAMPLING,
    JaegerProcess,
    Sent,
    collector_data,
    files,
    jaeger_process,
    query_data,
    total,
    trace,
)
from tests.config.search_fake import SearchFake, search_fake
from tests.config.servers import eventually


@dataclass(frozen=True)
class Harness:
    """A collector and its store."""

    jaeger: JaegerProcess
    search: SearchFake


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("collector")
    client = files(folder, "https://localhost:0", "jaeger-collector")
    with search_fake(folder) as search:
        client = files(folder, search.url, "jaeger-collector")
        config = collector_data(folder, client, Strategies(default=0.5, services={"recorder": 0.25}))
        with jaeger_process(folder, config) as jaeger:
            yield Harness(jaeger, search)


@pytest.mark.parametrize("clearance", ["public", "internal", "confidential"])
def test_jaeger_accepts_the_configurations(tmp_path: Path, clearance: str) -> None:
    client = files(tmp_path, "https://search:9200", "x")
    for name, config in (
        ("collector", collector_data(tmp_path, client)),
        ("query", query_data(tmp_path, client, clearance)),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_text(rendered(config))
        command = [str(tools.path("jaeger")), "validate", f"--config={path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr


CASES = {
    "nothing-said": (None, None, "confidential"),
    "span-public": ("public", None, "public"),
    "resource-public": (None, "public", "public"),
    "both-public": ("public", "public", "public"),
    "span-internal": ("internal", None, "internal"),
    "resource-internal": (None, "internal", "internal"),
    "span-raises": ("internal", "public", "internal"),
    "span-cannot-lower": ("public", "internal", "internal"),
    "span-cannot-lower-secrets": ("public", "confidential", "confidential"),
    "resource-raises": ("internal", "confidential", "confidential"),
    "span-confidential": ("confidential", "public", "confidential"),
    "unknown-on-span": ("secret", "public", "confidential"),
    "unknown-on-resource": ("public", "secret", "confidential"),
    "other-case": ("Public", None, "confidential"),
    "empty": ("", None, "confidential"),
    "number": (1, "public", "confidential"),
    "blank-behind": ("public ", None, "confidential"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_span_is_stored_once_under_the_most_restricted_class(harness: Harness, name: str) -> None:
    span_class, resource_class, expected = CASES[name]
    sent = trace([Sent(name=name, span_class=span_class, resource_class=resource_class)])
    assert harness.jaeger.send(sent) is grpc.StatusCode.OK
    eventually(lambda: any(span_name == name for _, span_name in harness.search.spans()), 10, f"{name} is stored")
    time.sleep(0.3)
    assert [index for index, span_name in harness.search.spans() if span_name == name] == [
        f"{expected}-jaeger-span-write"
    ]


def test_spans_of_one_trace_are_split_by_class(harness: Harness) -> None:
    spans = [Sent(name=f"split-{name}", span_class=name) for name in ("public", "internal", "confidential")]
    assert harness.jaeger.send(trace(spans)) is grpc.StatusCode.OK
    eventually(
        lambda: sum(span_name.startswith("split-") for _, span_name in harness.search.spans()) == 3,
        10,
        "all are stored",
    )
    stored = {span_name: index for index, span_name in harness.search.spans() if span_name.startswith("split-")}
    assert stored == {f"split-{name}": f"{name}-jaeger-span-write" for name in ("public", "internal", "confidential")}


def test_service_names_are_stored_apart_as_well(harness: Harness) -> None:
    harness.jaeger.send(trace([Sent(name="a", service="only-internal", resource_class="internal")]))

    def services() -> set[str]:
        return {
            index
            for index, document in list(harness.search.documents)
            if "spanID" not in document and document.get("serviceName") == "only-internal"
        }

    eventually(lambda: bool(services()), 10, "the service is stored")
    assert services() == {"internal-jaeger-service-write"}


def test_a_sender_without_a_certificate_of_the_platform_is_refused(harness: Harness) -> None:
    sent = trace([Sent(name="anonymous")])
    assert harness.jaeger.send(sent, certificate=False) is grpc.StatusCode.UNAVAILABLE
    assert not [span_name for _, span_name in harness.search.spans() if span_name == "anonymous"]


def test_metrics_ask_for_the_password(harness: Harness) -> None:
    assert harness.jaeger.scrape(None).status_code == 401
    assert harness.jaeger.scrape(("scrape-jaeger", "wrong")).status_code == 401
    assert harness.jaeger.scrape().status_code == 200


def test_callers_cannot_make_the_metrics_grow_by_the_names_they_use(harness: Harness) -> None:
    harness.jaeger.send(trace([Sent(name="counted")]))

    def calls() -> list[str]:
        return [line for line in harness.jaeger.scrape().text.splitlines() if line.startswith("rpc_server_duration")]

    eventually(lambda: bool(calls()), 10, "calls are counted")
    assert all("rpc_grpc_status_code" in line for line in calls())
    assert not [line for line in calls() if "rpc_method" in line or "Export" in line]


def test_the_health_endpoint_answers_probes_and_shows_no_configuration(harness: Harness) -> None:
    assert harness.jaeger.get(harness.jaeger.health_port, "/status").status_code == 200
    assert harness.jaeger.get(harness.jaeger.health_port, "/config").status_code == 404


def test_sdks_get_their_sampling_over_tls_with_a_password(harness: Harness) -> None:
    path = "/sampling?service="
    assert harness.jaeger.get(harness.jaeger.sampling_port, f"{path}recorder").status_code == 401
    own = harness.jaeger.get(harness.jaeger.sampling_port, f"{path}recorder", SAMPLING)
    assert own.status_code == 200
    assert own.json()["probabilisticSampling"] == {"samplingRate": 0.25}
    other = harness.jaeger.get(harness.jaeger.sampling_port, f"{path}other", SAMPLING)
    assert other.json()["probabilisticSampling"] == {"samplingRate": 0.5}


def test_changed_strategies_are_taken_up_without_a_restart(tmp_path: Path) -> None:
    files(tmp_path, "", "")
    with search_fake(tmp_path) as search:
        config = collector_data(tmp_path, files(tmp_path, search.url, "jaeger-collector"))
        config["extensions"]["remote_sampling"]["file"]["reload_interval"] = "500ms"
        with jaeger_process(tmp_path, config) as jaeger:
            collector_data(tmp_path, files(tmp_path, search.url, "jaeger-collector"), Strategies(default=0.125))

            def rate() -> float:
                answer = jaeger.get(jaeger.sampling_port, "/sampling?service=x", SAMPLING)
                return float(answer.json()["probabilisticSampling"]["samplingRate"])

            eventually(lambda: rate() == 0.125, 10, "the new strategies are served")


def test_while_the_search_cluster_is_away_nothing_is_lost_and_the_sender_has_to_wait(tmp_path: Path) -> None:
    files(tmp_path, "", "")
    with search_fake(tmp_path) as search:
        config = collector_data(tmp_path, files(tmp_path, search.url, "jaeger-collector"))
        with jaeger_process(tmp_path, config) as jaeger:
            assert jaeger.send(trace([Sent(name="before")])) is grpc.StatusCode.OK
            eventually(lambda: len(search.spans()) == 1, 10, "the first span is stored")
            search.stop()
            acknowledged: list[str] = []
            refused = 0
            for number in range(2 * BULK_ACTIONS // 100):
                names = [f"{number}-{index}" for index in range(100)]
                if jaeger.send(trace([Sent(name=name) for name in names]), timeout=2) is grpc.StatusCode.OK:
                    acknowledged += names
                else:
                    refused += 1
                if refused == 2:
                    break
            assert refused, "a collector that cannot write goes on acknowledging"
            search.start()
            eventually(
                lambda: set(acknowledged) <= {name for _, name in search.spans()},
                180,
                "what was acknowledged is stored",
            )
            text = jaeger.scrape().text
            print(f"spans acknowledged while the search cluster was away, all stored later: {len(acknowledged)}")
    assert total(text, "otelcol_receiver_accepted_spans_total", {"receiver": "otlp"}) > 0


def test_what_a_killed_collector_loses_is_bounded_and_shown(tmp_path: Path) -> None:
    files(tmp_path, "", "")
    acknowledged: list[str] = []
    with search_fake(tmp_path) as search:
        config = collector_data(tmp_path, files(tmp_path, search.url, "jaeger-collector"))
        with jaeger_process(tmp_path, config) as jaeger:
            stop = threading.Event()

            def load() -> None:
                number = 0
                while not stop.is_set():
                    names = [f"{number}-{index}" for index in range(50)]
                    if jaeger.send(trace([Sent(name=name) for name in names]), timeout=5) is grpc.StatusCode.OK:
                        acknowledged.extend(names)
                    number += 1

            sender = threading.Thread(target=load)
            sender.start()
            eventually(lambda: len(acknowledged) > 1000, 60, "spans are acknowledged")
        stop.set()
        sender.join(timeout=60)

        def lost() -> int:
            return len(set(acknowledged) - {name for _, name in search.spans()})

        # The store may still be at what it got last.
        eventually(lambda: lost() <= BULK_ACTIONS, 30, "no more than a bulk request of what was acknowledged is lost")
        print(f"spans acknowledged, then lost by a kill: {lost()} of {len(acknowledged)}")


def test_items_that_the_search_cluster_refuses_are_counted(tmp_path: Path) -> None:
    files(tmp_path, "", "")
    with search_fake(tmp_path) as search:
        search.refuse_items = True
        config = collector_data(tmp_path, files(tmp_path, search.url, "jaeger-collector"))
        with jaeger_process(tmp_path, config) as jaeger:
            jaeger.send(trace([Sent(name="refused")]))
            eventually(
                lambda: total(jaeger.scrape().text, "jaeger_storage_bulk_index_errors_total") > 0,
                60,
                "refused items are counted: "
                + "\n".join(line for line in jaeger.scrape().text.splitlines() if "bulk" in line),
            )
            assert requests.get(search.url, verify=str(tmp_path / "ca.crt"), timeout=30).status_code == 200
