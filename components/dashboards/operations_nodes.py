"""Row about nodes (requirement G4): what node agents tell of processors, memory, paging and disks, whoever uses them.

While an agent is replaced its node has two, which tell the same: of each node the higher figure counts.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Query, Row, series

_JOB = 'job="otel-agent"'
_OF_A_FAULT = 4096
"""What the collector's library counts for each page fault: the bytes of a page."""


def _stolen() -> str:
    def seconds(selector: str) -> str:
        return f"sum by (node, instance) (rate(system_cpu_time_seconds_total{{{selector}}}[{RATE}]))"

    stolen = seconds(f'{_JOB},state="steal"')
    return _or_nothing(f"max by (node) ({stolen} / {seconds(_JOB)})")


def _or_nothing(expr: str) -> str:
    return f"{expr} or on () vector(0)"


def _disk_bytes() -> str:
    by_device = f"max by (node, device, direction) (rate(system_disk_io_bytes_total{{{_JOB}}}[{RATE}]))"
    return _or_nothing(f"sum by (node, direction) ({by_device})")


NODES = Row(
    title="Processors, memory and disks of nodes, as their kernels count them",
    panels=(
        series(
            "Processors of nodes",
            "Busy share of each node's processors, whoever uses them; of that, what a hypervisor gave to other "
            "machines.",
            "1",
            Query(expr=_or_nothing("obs:node_cpu_busy:ratio"), legend="{{node}}"),
            Query(expr=_stolen(), legend="{{node}} taken away"),
            limits=limits.platform("NodeCpuSaturated"),
        ),
        series(
            "Load of nodes",
            "Tasks that run or wait for a processor or a disk, for each processor; average of five minutes. Above 1 "
            "some of them wait.",
            "1",
            Query(expr=_or_nothing("obs:node_load_per_processor:ratio"), legend="{{node}}"),
        ),
        series(
            "Memory of nodes",
            "Share of each node's memory that no program can have any more. Cached files are not in it: they give way.",
            "1",
            Query(expr=_or_nothing("obs:node_memory_used:ratio"), legend="{{node}}"),
            limits=limits.platform("NodeMemoryLow"),
        ),
        series(
            "Pages read from disk",
            "Page faults that had to wait for a disk. Many of them all the time: memory is too small for what runs.",
            "{page}/s",
            Query(
                expr=_or_nothing(
                    f'max by (node) (rate(system_paging_faults_total{{{_JOB},type="major"}}[{RATE}])) / {_OF_A_FAULT}'
                ),
                legend="{{node}}",
            ),
        ),
        series(
            "Disks of nodes",
            "Bytes that all disks of a node read and write.",
            "By/s",
            Query(expr=_disk_bytes(), legend="{{node}} {{direction}}"),
        ),
        series(
            "Requests that wait for disks",
            "Requests that each disk has not answered yet, on average. Some are good use of it, tens are a queue.",
            "{request}",
            Query(expr=_or_nothing("obs:node_disk_waiting:rate2m"), legend="{{node}} {{device}}"),
            limits=limits.platform("NodeDiskBusy"),
        ),
    ),
)
"""For the dashboard of operations."""
