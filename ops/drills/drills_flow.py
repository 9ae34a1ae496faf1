"""Drills of the path of metrics: gateways, Kafka, consumers, Prometheus."""

from __future__ import annotations

from ops.drills.model import Aspect, Drill

_TESTS = "tests/e2e"
_METRICS = "numbered metrics through the gateway, 4 clients"

FLOW: tuple[Drill, ...] = (
    Drill(
        name="broker",
        shows="one of three brokers killed: nothing that was acknowledged is lost",
        requirements=("K1",),
        test=f"{_TESTS}/test_faults.py::test_a_broker_killed_under_load_loses_nothing",
        evidence="broker-killed",
        seconds=60,
        limit_s=480,
        load=f"{_METRICS}; a producer straight to Kafka, 50 records a second",
        fault="SIGKILL to a broker",
        figures={
            Aspect.RECOVERY: ("broker back after {broker back after s} s",),
            Aspect.RTO: (
                "longest pause of a producer {longest pause of a producer s} s",
                "clients of the gateway repeated {gateway retries} sends",
            ),
            Aspect.RPO: (
                "{gateway missing} of {gateway acknowledged} acknowledged points missing",
                "{producer missing} of the producer's {producer acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="two-brokers",
        shows="two of three brokers killed: no producer's record is accepted, gateways keep accepting, nothing is lost",
        requirements=("K1", "O1"),
        test=f"{_TESTS}/test_faults.py::test_two_brokers_killed_stop_producers_and_lose_nothing",
        evidence="two-brokers-killed",
        seconds=130,
        limit_s=660,
        load=f"{_METRICS}; a producer straight to Kafka, 50 records a second",
        fault="SIGKILL to two brokers, kept down",
        figures={
            Aspect.FAULT: (
                "down for {down s} s",
                "{accepted with two brokers down} records accepted from the producer meanwhile",
                "refused by a broker: {refused by brokers}; given up by the client itself: {given up by the client}",
            ),
            Aspect.RECOVERY: ("brokers back after {brokers back after s} s",),
            Aspect.RTO: ("clients of the gateway repeated {gateway retries} sends",),
            Aspect.RPO: (
                "{gateway missing} of {gateway acknowledged} acknowledged points missing",
                "{producer missing} of the producer's {producer acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="kafka",
        shows="all brokers gone: the gateways accept to their disks, and nothing is lost",
        requirements=("K1", "O1"),
        test=f"{_TESTS}/test_faults.py::test_the_gateway_keeps_accepting_while_kafka_is_gone",
        evidence="kafka-outage",
        seconds=170,
        limit_s=1320,
        load=_METRICS,
        fault="SIGKILL to all brokers, kept down",
        figures={
            Aspect.FAULT: ("down for {outage s} s",),
            Aspect.RECOVERY: ("brokers back after {brokers back after s} s",),
            Aspect.RTO: (
                "{accepted during the outage} points accepted meanwhile",
                "clients of the gateway repeated {gateway retries} sends",
            ),
            Aspect.RPO: ("{gateway missing} of {gateway acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="kafka-roll",
        shows="a rolling restart of Kafka never has fewer than two copies in sync, and loses nothing",
        requirements=("K1", "M4"),
        test=f"{_TESTS}/test_faults.py::test_a_rolling_restart_of_kafka_never_goes_below_min_isr",
        evidence="kafka-rolling-restart",
        seconds=120,
        limit_s=960,
        load=f"{_METRICS}; a producer straight to Kafka, 50 records a second",
        fault="every broker restarted, one after the other",
        figures={
            Aspect.FAULT: ("fewest copies in sync {lowest ISR}, in {polls} looks",),
            Aspect.RECOVERY: ("all restarted after {seconds} s",),
            Aspect.RTO: ("clients of the gateway repeated {gateway retries} sends",),
            Aspect.RPO: (
                "{gateway missing} of {gateway acknowledged} acknowledged points missing",
                "{producer missing} of the producer's {producer acknowledged} missing",
            ),
        },
    ),
    Drill(
        name="gateway",
        shows="one of two gateways killed: clients go on, nothing that was acknowledged is lost",
        requirements=("O1",),
        test=f"{_TESTS}/test_faults.py::test_a_gateway_killed_under_load_loses_nothing",
        evidence="gateway-killed",
        seconds=45,
        limit_s=480,
        load=_METRICS,
        fault="SIGKILL to a gateway",
        figures={
            Aspect.RECOVERY: ("gateway back after {back after s} s",),
            Aspect.RTO: ("clients of the gateway repeated {gateway retries} sends",),
            Aspect.RPO: ("{gateway missing} of {gateway acknowledged} acknowledged points missing",),
        },
    ),
    Drill(
        name="consumer",
        shows="the consumer that feeds a Prometheus killed: it goes on where it was",
        requirements=("O5",),
        test=f"{_TESTS}/test_faults.py::test_a_consumer_killed_under_load_loses_nothing",
        evidence="consumer-killed",
        seconds=45,
        limit_s=480,
        load=_METRICS,
        fault="SIGKILL to a metrics consumer",
        figures={
            Aspect.RECOVERY: ("consumer back after {back after s} s", "caught up after {caught up after s} s"),
            Aspect.RPO: ("{prometheus-primary missing} of {prometheus-primary acknowledged} points missing",),
        },
    ),
    Drill(
        name="prometheus",
        shows="the primary Prometheus away: readers never notice, and it catches up without a gap",
        requirements=("P1",),
        test=f"{_TESTS}/test_faults.py::test_readers_never_notice_that_the_primary_is_down_and_it_catches_up",
        evidence="prometheus-primary-down",
        seconds=190,
        limit_s=1020,
        load="a marker and a question at the read address each second",
        fault="the primary Prometheus stopped",
        figures={
            Aspect.FAULT: ("down for {down s} s",),
            Aspect.RECOVERY: ("back after {primary back after s} s, caught up after {caught up after s} s",),
            Aspect.RTO: ("{failed queries} of {queries} questions at the read address failed",),
            Aspect.RPO: ("{missing} of {markers} markers missing, {gaps} gaps",),
            Aspect.DASHBOARDS: ("{failed queries} of {queries} questions at the read address failed",),
        },
    ),
)
