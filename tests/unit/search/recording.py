"""A search cluster alone on the recording engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from components.contracts import ScrapeTarget
from components.k8s import Resources
from components.search import access
from components.search.component import PORT, Search, SearchArgs
from components.search.config import Engine
from components.search.indices import IndexPolicy
from components.search.nodes import NodeSize
from components.telemetry.attributes import CLASSES
from tests.support import engine
from tests.support.deployment_context import deployment_context, metrics

CONTEXT = deployment_context(platform="obs-test", region="here", namespace="obs")
NOT_SCRAPED = cast(ScrapeTarget, None)
"""Of arguments alone: a password needs the engine, so `run` gives the cluster its metrics endpoint."""
USERS = (
    access.trace_writer("jaeger-collector"),
    *(access.trace_reader(f"jaeger-query-{name}", name) for name in CLASSES),
    access.log_writer("log-indexer"),
    access.log_reader("grafana"),
)


def search_args(kind: Engine = Engine.OPENSEARCH, nodes: int = 3) -> SearchArgs:
    """Arguments of a small cluster."""
    return SearchArgs(
        context=CONTEXT,
        scrape=NOT_SCRAPED,
        engine=kind,
        nodes=nodes,
        size=NodeSize(
            resources=Resources(cpu="100m", memory="640Mi", memory_limit="1Gi"),
            heap="384m",
            jvm_flags=("-XX:+UseParallelGC",),
            storage="2Gi",
            grace_s=60,
            allow_mmap=False,
        ),
        users=USERS,
        traces=IndexPolicy(shards=1, replicas=1, retention_days=7),
        logs=IndexPolicy(shards=2, replicas=1, retention_days=14),
        index_manager=Resources(cpu="20m", memory="64Mi", memory_limit="192Mi"),
        index_manager_interval_s=15,
    )


def run(args: SearchArgs, look: Callable[[Search], None] = lambda _: None) -> engine.Recording:
    """Record the cluster; ``look`` gets the component."""
    recording = engine.Recording()

    def program() -> None:
        look(Search("search", replace(args, scrape=metrics(CONTEXT, access.INDEX_MANAGER, PORT))))

    engine.run(recording, "test", program)
    return recording


@functools.cache
def recorded(kind: Engine = Engine.OPENSEARCH) -> engine.Recording:
    """The recording of a small cluster; the same object for every test: do not change it."""
    return run(search_args(kind))
