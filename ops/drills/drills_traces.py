"""Drills of the paths of traces and logs."""

from __future__ import annotations

from ops.drills.model import Aspect, Drill

_TESTS = "tests/e2e"
_LOGS = "numbered log records and traces through the gateway"

TRACES: tuple[Drill, ...] = (
    Drill(
        name="jaeger",
        shows="a Jaeger collector killed: at most one bulk of spans is lost",
        requirements=("J1",),
        test=f"{_TESTS}/test_trace_faults.py::test_a_jaeger_collector_killed_under_load_loses_no_more_than_one_bulk",
        evidence="jaeger-collector-killed",
        seconds=60,
        limit_s=480,
        load="numbered traces through the gateway",
        fault="SIGKILL to a collector",
        figures={
            Aspect.RECOVERY: ("collectors back after {collectors back after s} s",),
            Aspect.RPO: (
                "{spans lost} of {spans acknowledged} spans lost (bound {bound}), {spans stored twice} stored twice",
            ),
        },
    ),
    Drill(
        name="sampler",
        shows="a sampler killed: only traces that waited for their decision are lost",
        requirements=("O4",),
        test=f"{_TESTS}/test_trace_faults.py::test_a_sampler_killed_under_load_loses_only_what_waited_for_its_decision",
        evidence="sampler-killed",
        seconds=75,
        limit_s=480,
        load="numbered traces through the gateway",
        fault="SIGKILL to a sampler",
        figures={
            Aspect.RECOVERY: ("samplers back after {samplers back after s} s",),
            Aspect.RPO: (
                "{spans lost} of {spans acknowledged} spans lost",
                "{traces lost} traces (bound {bound (traces sent in the window, of all samplers)})",
                "sent {lost traces were sent before the kill, s} s before the kill",
            ),
        },
    ),
    Drill(
        name="log-indexer",
        shows="a log indexer killed: no log record is missing or doubled",
        requirements=("O5",),
        test=f"{_TESTS}/test_logs.py::test_an_indexer_killed_under_load_loses_and_doubles_nothing",
        evidence="log-indexer-killed",
        seconds=75,
        limit_s=480,
        load="numbered log records through the gateway",
        fault="SIGKILL to a log indexer",
        figures={
            Aspect.RECOVERY: ("back after {indexers back after s} s, caught up after {caught up after s} s",),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{log records doubled} doubled",
            ),
        },
    ),
    Drill(
        name="agent",
        shows="the agent of a node killed: nothing that it acknowledged is lost",
        requirements=("O5",),
        test=f"{_TESTS}/test_trace_faults.py::test_an_agent_killed_under_load_loses_nothing_that_it_acknowledged",
        evidence="agent-killed",
        seconds=45,
        limit_s=480,
        load="numbered log records to the agent",
        fault="SIGKILL to the agent",
        figures={
            Aspect.RECOVERY: ("agents back after {agents back after s} s",),
            Aspect.RTO: ("longest pause of a sender {longest pause of a sender s} s",),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{log records doubled} doubled",
            ),
        },
    ),
    Drill(
        name="search-node",
        shows="a search node killed: every question is answered, no log record is missing",
        requirements=("J1",),
        test=f"{_TESTS}/test_trace_faults.py::test_search_goes_on_while_a_search_node_is_dead_and_logs_lose_nothing",
        evidence="search-node-killed",
        seconds=120,
        limit_s=660,
        load=f"{_LOGS}; questions about both",
        fault="SIGKILL to one of three nodes",
        figures={
            Aspect.RECOVERY: (
                "node back after {node back after s} s",
                "every copy again after {every copy again after s} s",
            ),
            Aspect.RTO: (
                "slowest answer about traces {traces: slowest answer s} s, about logs {logs: slowest answer s} s",
            ),
            Aspect.RPO: (
                "{log records missing} of {log records acknowledged} log records missing",
                "{spans lost} of {spans acknowledged} spans lost",
            ),
            Aspect.DASHBOARDS: (
                "{traces: questions without an answer} of {questions about traces} about traces without an answer",
                "{logs: questions without an answer} of {questions about logs} about logs",
            ),
        },
    ),
)
