"""Scenarios of the alerts about blocks of metrics in the object storage."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_SIDECAR = 'job="thanos-sidecar-primary",instance="prometheus-primary-0"'
_OF_SIDECAR = {"job": "thanos-sidecar-primary", "instance": "prometheus-primary-0"}
_STORE = 'job="thanos-store",instance="thanos-store-0"'
_OF_STORE = {"job": "thanos-store", "instance": "thanos-store-0"}
_COMPACT = 'job="thanos-compact",instance="thanos-compact-0"'
_OF_COMPACT = {"job": "thanos-compact", "instance": "thanos-compact-0"}
_QUERY = 'job="thanos-query",instance="10-88-0-8"'
_SYNCS, _SYNC_FAILURES = (f"thanos_shipper_dir_sync{kind}_total{{{_SIDECAR}}}" for kind in ("s", "_failures"))
_UPLOADED = f'thanos_objstore_bucket_last_successful_upload_time{{{_SIDECAR},bucket="monitoring"}}'
_STARTED = f"process_start_time_seconds{{{_SIDECAR}}}"
_GATEWAYS = f'thanos_store_nodes_grpc_connections{{{_QUERY},external_labels="a",store_type="store"}}'
_SIDECARS = f'thanos_store_nodes_grpc_connections{{{_QUERY},external_labels="a",store_type="sidecar"}}'
_LOOKS, _LOOK_FAILURES = (f"thanos_blocks_meta_sync{kind}_total{{{_STORE}}}" for kind in ("s", "_failures"))
_ROUNDS = f"thanos_compact_iterations_total{{{_COMPACT}}}"
_COMPACT_STARTED = f"process_start_time_seconds{{{_COMPACT}}}"
_IDLE = {
    f"thanos_shipper_upload_failures_total{{{_SIDECAR}}}": "0x90",
    f"thanos_shipper_corrupted_blocks_total{{{_SIDECAR}}}": "0x90",
}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="ThanosShipFailing",
        bad={**_IDLE, _SYNCS: "0+1x9 9x80", _SYNC_FAILURES: "0x9 0+1x80"},
        # The storage does not answer once in a while.
        good={**_IDLE, _SYNCS: "0+1x90", _SYNC_FAILURES: "0x9 0+1x4 5x75"},
        silent_at="18m45s",
        firing_at="21m",
        labels=_OF_SIDECAR,
    ),
    Scenario(
        alert="ThanosShipFailing",
        bad={_SYNCS: "0+1x90", f"thanos_shipper_upload_failures_total{{{_SIDECAR}}}": "0x9 0+1x80"},
        good={_SYNCS: "0+1x90", f"thanos_shipper_upload_failures_total{{{_SIDECAR}}}": "0x9 0+1x4 4x75"},
        silent_at="12m",
        firing_at="14m",
        labels=_OF_SIDECAR,
    ),
    Scenario(
        alert="ThanosShipFailing",
        bad={_SYNCS: "0+1x90", f"thanos_shipper_corrupted_blocks_total{{{_SIDECAR}}}": "0x9 0+1x80"},
        good={_SYNCS: "0+1x90", f"thanos_shipper_corrupted_blocks_total{{{_SIDECAR}}}": "3x90"},
        silent_at="9m45s",
        firing_at="10m45s",
        labels=_OF_SIDECAR,
    ),
    Scenario(
        alert="ThanosShipStalled",
        # The last one after a minute; three of two hours each after that.
        bad={_UPLOADED: "60x200", _STARTED: "0x200"},
        good={_UPLOADED: "60x50 15000x150", _STARTED: "0x200"},
        silent_at="6h5m",
        firing_at="6h8m",
        labels=_OF_SIDECAR,
        evaluated="1m",
        interval="3m",
    ),
    Scenario(
        alert="ThanosShipStalled",
        # None since it started; where nothing is shipped, that says nothing.
        bad={_UPLOADED: "0x200", _STARTED: "60x200"},
        good={_STARTED: "60x200"},
        silent_at="6h5m",
        firing_at="6h8m",
        labels=_OF_SIDECAR,
        evaluated="1m",
        interval="3m",
    ),
    Scenario(
        alert="ThanosHistoryMissing",
        bad={f"up{{{_STORE}}}": "1x60", f"up{{{_QUERY}}}": "1x60", _SIDECARS: "2x60", _GATEWAYS: "1x9 stale"},
        # The gateway itself is gone: that is told as such.
        good={
            f"up{{{_STORE}}}": "1x9 0x50",
            f"up{{{_QUERY}}}": "1x60",
            _SIDECARS: "2x60",
            _GATEWAYS: "1x9 stale",
        },
        silent_at="6m45s",
        firing_at="7m15s",
        labels={"job": "thanos-query", "instance": "10-88-0-8"},
    ),
    Scenario(
        alert="ThanosHistoryStale",
        bad={_LOOKS: "0+1x90", _LOOK_FAILURES: "0x9 0+1x80"},
        good={_LOOKS: "0+1x90", _LOOK_FAILURES: "0x9 0+1x15 15x65"},
        silent_at="19m",
        firing_at="26m",
        labels=_OF_STORE,
    ),
    Scenario(
        alert="ThanosHistoryStale",
        bad={f"thanos_bucket_store_block_load_failures_total{{{_STORE}}}": "0x9 0+1x80"},
        good={f"thanos_bucket_store_block_load_failures_total{{{_STORE}}}": "0x9 0+1x4 4x75"},
        silent_at="12m",
        firing_at="14m",
        labels=_OF_STORE,
    ),
    Scenario(
        alert="ThanosCompactorHalted",
        bad={f"thanos_compact_halted{{{_COMPACT}}}": "0x9 1x60"},
        good={f"thanos_compact_halted{{{_COMPACT}}}": "0x9 1x15 0x50"},
        silent_at="14m45s",
        firing_at="15m15s",
        labels=_OF_COMPACT,
    ),
    Scenario(
        alert="ThanosCompactorHalted",
        # Not one whole round in six hours; the other finishes one every five hours.
        bad={_ROUNDS: "0x240", _COMPACT_STARTED: "60x240"},
        good={_ROUNDS: "0x90 1x100 2x50", _COMPACT_STARTED: "60x240"},
        silent_at="6h9m",
        firing_at="6h15m",
        labels=_OF_COMPACT,
        evaluated="1m",
        interval="3m",
    ),
)
