"""Scenarios of the alerts about the copy of Kafka in this region."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_POD = 'job="mirror-maker",instance="10-88-0-7"'
_UP = f"up{{{_POD}}}"
_FETCHES, _OTHER_FETCHES = (f'kafka_mirror_fetches_total{{{_POD},task="{task}"}}' for task in (0, 1))
_FAILED = f'kafka_mirror_tasks{{{_POD},connector="MirrorSourceConnector",state="failed"}}'
_RUNNING = f'kafka_mirror_tasks{{{_POD},connector="MirrorSourceConnector",state="running"}}'
_LATENCY = (
    f'kafka_mirror_replication_latency_milliseconds{{{_POD},topic="telemetry-logs",partition="%d",statistic="avg"}}'
)
_RECORDS = f'kafka_mirror_records_total{{{_POD},topic="telemetry-logs",partition="0"}}'
_END = 'kafka_topic_partition_current_offset{job="kafka-lag",topic="telemetry-logs",partition="%d"}'
_WRITTEN = f'kafka_mirror_written_total{{{_POD},connector="%s",task="0"}}'
_CHECKPOINTS = _WRITTEN % "MirrorCheckpointConnector"
_JOB = {"job": "mirror-maker"}


def _copied(*values: str) -> dict[str, str]:
    """Records of the partitions of a topic."""
    return {_RECORDS.replace('partition="0"', f'partition="{number}"'): series for number, series in enumerate(values)}


_GOES_ON = "0+20x300"
_STANDS_STILL = "0+20x120 2400x180"
"""From the hour on."""

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="MirrorDown",
        bad={_UP: "1x9 0x40"},
        # A restart.
        good={_UP: "1x9 0 0 0 1x40"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels=_JOB,
    ),
    # The pod's name is gone.
    Scenario(
        alert="MirrorDown",
        bad={_UP: "1x9 stale", 'up{job="gateway",instance="gateway-0"}': "1x50"},
        good={_UP: "1x50", 'up{job="gateway",instance="gateway-0"}': "1x9 stale"},
        silent_at="6m30s",
        firing_at="7m30s",
        labels=_JOB,
    ),
    Scenario(
        alert="MirrorTaskFailed",
        bad={_FAILED: "0x9 1x40", _RUNNING: "2x9 1x40"},
        good={_FAILED: "0x50", _RUNNING: "2x9 1x40"},
        silent_at="5m15s",
        firing_at="5m45s",
        labels={**_JOB, "instance": "10-88-0-7", "connector": "MirrorSourceConnector"},
    ),
    # A source without news is still asked twice a second.
    Scenario(
        alert="MirrorStalled",
        bad={_UP: "1x50", _FETCHES: "0+60x10 600x40", _RECORDS: "0+9x10 90x40"},
        good={_UP: "1x50", _FETCHES: "0+60x50", _RECORDS: "0+9x10 90x40"},
        silent_at="6m15s",
        firing_at="6m45s",
        labels=_JOB,
    ),
    # One task of two.
    Scenario(
        alert="MirrorStalled",
        bad={_UP: "1x50", _FETCHES: "0+60x10 600x40", _OTHER_FETCHES: "0+60x50"},
        # Its process was replaced, and the new one has as many tasks.
        good={
            _UP: "1x50",
            _FETCHES: "0+60x10 stale",
            _OTHER_FETCHES: "0+60x50",
            _FETCHES.replace("10-88-0-7", "10-88-0-8"): "_x11 0+60x40",
        },
        silent_at="6m15s",
        firing_at="6m45s",
        labels=_JOB,
    ),
    # The source was away from the start: there is no consumer that could count.
    Scenario(
        alert="MirrorStalled",
        bad={_UP: "0x9 1x40"},
        good={_UP: "0x9 1x40", _FETCHES: "_x9 0+60x40"},
        silent_at="5m15s",
        firing_at="6m",
        labels=_JOB,
    ),
    Scenario(
        alert="MirrorPartitionStalled",
        bad=_copied(_GOES_ON, _STANDS_STILL, _GOES_ON),
        # The origin became quiet.
        good=_copied(_STANDS_STILL, _STANDS_STILL, _STANDS_STILL),
        silent_at="65m",
        firing_at="66m",
        labels={"topic": "telemetry-logs", "partition": "1"},
    ),
    # A new process of the mirror has no counter of what it does not get.
    Scenario(
        alert="MirrorPartitionStalled",
        bad={**_copied(_GOES_ON, "0+20x120 stale", _GOES_ON), _END % 1: "0+20x120 2400x180"},
        # This region was promoted: its own gateways write, and only one partition of the other's gets a little more.
        good={
            **_copied(_STANDS_STILL, "0+20x120 2400+1x180", _STANDS_STILL),
            **{_END % number: _GOES_ON for number in range(3)},
        },
        silent_at="65m",
        firing_at="66m",
        labels={"topic": "telemetry-logs", "partition": "1"},
    ),
    # A partition that never had its share, and one that was added and has nothing yet.
    Scenario(
        alert="MirrorPartitionStalled",
        bad=_copied(_GOES_ON, _STANDS_STILL, _GOES_ON),
        good={**_copied(_GOES_ON, "0+1x120 120x180", _GOES_ON), _END % 3: "_x100 0x200"},
        silent_at="65m",
        firing_at="66m",
        labels={"topic": "telemetry-logs", "partition": "1"},
    ),
    Scenario(
        alert="MirrorLag",
        bad={_LATENCY % 0: "800x50", _LATENCY % 1: "900x9 31000x40"},
        good={_LATENCY % 0: "800x50", _LATENCY % 1: "900x9 30000x40"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels={"topic": "telemetry-logs"},
    ),
    Scenario(
        alert="MirrorCheckpointOld",
        bad={_UP: "1x60", _CHECKPOINTS: "0+15x9 135x50", _RECORDS: "0+9x60"},
        # Nothing is copied, so no group gets on.
        good={_UP: "1x60", _CHECKPOINTS: "0+15x9 135x50", _RECORDS: "0+9x9 81x50"},
        silent_at="6m45s",
        firing_at="7m15s",
        labels=_JOB,
    ),
    Scenario(
        alert="MirrorCheckpointOld",
        bad={_UP: "1x60", _WRITTEN % "MirrorSourceConnector": "0+15x60", _RECORDS: "0x9 0+9x50"},
        good={_UP: "1x60", _CHECKPOINTS: "0+1x60", _RECORDS: "0x9 0+9x50"},
        silent_at="5m30s",
        firing_at="6m30s",
        labels=_JOB,
    ),
)
