"""Scenarios of the alerts about what Kubernetes knows."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_EXPORTER = 'job="cluster-state",instance="10-88-0-7",namespace="obs"'
_UP = 'up{job="cluster-state",instance="10-88-0-7"}'


def _of(metric: str, **labels: str) -> str:
    own = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"kube_{metric}{{{_EXPORTER},{own}}}"


def _phase(pod: str, phase: str) -> str:
    return _of("pod_status_phase", pod=pod, uid=f"uid-of-{pod}", phase=phase)


def _restarts(container: str) -> str:
    return _of("pod_container_status_restarts_total", pod="sampler-0", uid="s", container=container)


def _condition(condition: str, status: str) -> str:
    return _of("node_status_condition", node="node-1", condition=condition, status=status)


def _scaler(metric: str, name: str) -> str:
    return _of(f"horizontalpodautoscaler_{metric}_replicas", horizontalpodautoscaler=name)


def _run(job: str, began: str, failed: str) -> dict[str, str]:
    """A run of a CronJob: when it began, and whether it failed."""
    return {
        _of("job_owner", job_name=job, owner_kind="CronJob", owner_name="report-daily"): "1x50",
        _of("job_status_start_time", job_name=job): began,
        _of("job_failed", job_name=job, condition="true"): failed,
        _of("job_failed", job_name=job, condition="false"): "0x50",
    }


_SUCCEEDED = _of("cronjob_status_last_successful_time", cronjob="report-daily")
_BOUNDS = {
    _scaler("spec_min", "gateway"): "2x90",
    _scaler("spec_max", "gateway"): "3x90",
    # Its use is watched, and nothing is scaled.
    _scaler("spec_min", "grafana"): "2x90",
    _scaler("spec_max", "grafana"): "2x90",
    _scaler("status_current", "grafana"): "2x90",
}

_SILENT = 'volume_nodes_silent{job="volumes",instance="10-88-0-8"}'
_VOLUMES_UP = 'up{job="volumes",instance="10-88-0-8"}'


def _volume(used: str, available: str) -> dict[str, str]:
    labels = 'job="volumes",instance="10-88-0-8",pod="search-0",persistentvolumeclaim="data-search-0"'
    return {f"volume_used_bytes{{{labels}}}": used, f"volume_available_bytes{{{labels}}}": available}


def _inodes(used: str) -> dict[str, str]:
    labels = 'job="volumes",instance="10-88-0-8",pod="search-0",persistentvolumeclaim="data-search-0"'
    return {**_volume("1x50", "9x50"), f"volume_inodes_used{{{labels}}}": used, f"volume_inodes{{{labels}}}": "200x50"}


_SEARCH_VOLUME = {"pod": "search-0", "instance": "search-0", "persistentvolumeclaim": "data-search-0"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="VolumeFilling",
        bad=_volume("50x9 90x40", "50x9 10x40"),
        # What is reserved for root is neither used nor available.
        good=_volume("50x9 84x40", "50x9 16x40"),
        silent_at="6m45s",
        firing_at="8m30s",
        labels=_SEARCH_VOLUME,
    ),
    Scenario(
        alert="VolumeFilling",
        # The full volume has ended its pod, which is there still: no kubelet measures it any more.
        bad={**_volume("50x9 90x3 stale", "50x9 10x3 stale"), _phase("search-0", "Running"): "1x60"},
        # The pod is gone.
        good={**_volume("50x9 90x3 stale", "50x9 10x3 stale"), _phase("search-0", "Running"): "1x9 stale"},
        silent_at="6m45s",
        firing_at="20m",
        labels=_SEARCH_VOLUME,
    ),
    Scenario(
        alert="VolumeInodesFilling",
        bad=_inodes("100x9 180x40"),
        good=_inodes("100x9 170x40"),
        silent_at="6m45s",
        firing_at="8m30s",
        labels=_SEARCH_VOLUME,
    ),
    Scenario(
        alert="VolumeFillsSoon",
        # One twentieth in eight hours, from 60 % on, and half as much.
        bad=_volume("0.6000+0.0002x300", "0.4000-0.0002x300"),
        good=_volume("0.6000+0.0001x300", "0.4000-0.0001x300"),
        silent_at="6h58m",
        firing_at="7h10m",
        labels=_SEARCH_VOLUME,
        interval="2m",
        evaluated="1m",
    ),
    Scenario(
        alert="VolumesUnknown",
        bad={_SILENT: "0x9 1x50", _VOLUMES_UP: "1x60"},
        good={_SILENT: "0x9 1x20 0x30", _VOLUMES_UP: "1x60"},
        silent_at="19m30s",
        firing_at="20m30s",
        labels={"job": "volumes", "instance": "10-88-0-8"},
    ),
    Scenario(
        alert="VolumesUnknown",
        bad={_SILENT: "0x9 stale", _VOLUMES_UP: "1x60"},
        # Then the target itself is down.
        good={_SILENT: "0x9 stale", _VOLUMES_UP: "1x9 0x50"},
        silent_at="19m30s",
        firing_at="20m30s",
        labels={"job": "volumes"},
    ),
    Scenario(
        alert="ClusterStateUnknown",
        bad={_UP: "1x50", _phase("kafka-0", "Running"): "1x9 stale"},
        # Then the target itself is down.
        good={_UP: "1x9 0x40", _phase("kafka-0", "Running"): "1x9 stale"},
        silent_at="9m30s",
        firing_at="10m30s",
        labels={"job": "cluster-state"},
    ),
    Scenario(
        alert="PodPending",
        bad={_phase("kafka-0", "Pending"): "0x9 1x40", _phase("kafka-0", "Running"): "1x9 0x40"},
        good={_phase("kafka-0", "Pending"): "0x9 1x10 0x40", _phase("kafka-1", "Failed"): "1x50"},
        silent_at="14m45s",
        firing_at="15m30s",
        labels={"pod": "kafka-0"},
    ),
    Scenario(
        alert="PodRestartsOften",
        bad={_restarts("sampler"): "7x5 8x5 9x5 10x40", _restarts("other"): "40x60"},
        good={_restarts("sampler"): "7x5 8x5 9x45", _restarts("other"): "40x60"},
        silent_at="8m45s",
        firing_at="9m15s",
        labels={"pod": "sampler-0", "container": "sampler"},
    ),
    Scenario(
        alert="JobFailed",
        bad={
            **_run("report-daily-2", "200x50", "0x9 1x40"),
            **_run("report-daily-1", "100x50", "0x50"),
            _SUCCEEDED: "150x50",
        },
        # A run that began later has succeeded, and one that nobody's clock began failed.
        good={
            **_run("report-daily-2", "200x50", "0x9 1x40"),
            _SUCCEEDED: "150x9 250x40",
            _of("job_status_start_time", job_name="by-hand"): "300x50",
            _of("job_failed", job_name="by-hand", condition="true"): "1x50",
        },
        silent_at="4m30s",
        firing_at="5m30s",
        labels={"cronjob": "report-daily"},
    ),
    Scenario(
        alert="JobFailed",
        # It has never succeeded.
        bad=_run("report-daily-1", "100x50", "0x9 1x40"),
        good=_run("report-daily-1", "100x50", "0x50"),
        silent_at="4m30s",
        firing_at="5m30s",
        labels={"cronjob": "report-daily"},
    ),
    Scenario(
        alert="AutoscalerAtMaximum",
        bad={**_BOUNDS, _scaler("status_current", "gateway"): "2x9 3x80"},
        good={**_BOUNDS, _scaler("status_current", "gateway"): "2x9 3x20 2x60"},
        silent_at="34m45s",
        firing_at="35m30s",
        labels={"horizontalpodautoscaler": "gateway"},
    ),
    Scenario(
        alert="NodeNotReady",
        bad={
            _condition("Ready", "true"): "1x9 0x40",
            _condition("Ready", "unknown"): "0x9 1x40",
            _condition("Ready", "false"): "0x50",
        },
        good={_condition("Ready", "true"): "1x9 0x2 1x40", _condition("Ready", "false"): "0x50"},
        silent_at="6m45s",
        firing_at="7m30s",
        labels={"node": "node-1"},
    ),
    Scenario(
        alert="NodeUnderPressure",
        bad={_condition("DiskPressure", "true"): "0x9 1x40", _condition("MemoryPressure", "true"): "0x50"},
        good={
            _condition("DiskPressure", "true"): "0x50",
            _condition("DiskPressure", "false"): "1x50",
            _condition("NetworkUnavailable", "true"): "1x50",
        },
        silent_at="6m45s",
        firing_at="7m30s",
        labels={"node": "node-1", "condition": "DiskPressure"},
    ),
)
