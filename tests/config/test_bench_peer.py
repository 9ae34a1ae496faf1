"""The peer of the bench with real processes: what its clients send arrives in its store, and it leaves nothing.

That of traces is in tests/config/search, where a search cluster is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer.__main__ import PLANS
from lab.peer.peer import CONSUMER
from lab.toolchain import tools
from lab.toolchain.recipes import RECIPES, VICTORIA_LOGS
from ops.loadtest.bench_load import Load
from tests.config.peer_process import running_peer


def test_the_peer_carries_metrics_to_its_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_peer(Signal.METRICS, 1000, tmp_path, monkeypatch) as running:
        peer, before = running.peer, running.peer.cpu_seconds()
        # Each device once: without keys, a second sample may overtake the first and is then refused.
        assert running.carries(Load(rate=1000, seconds=4, clients=2)) == 4000
        used = peer.cpu_seconds()
        assert set(used) == set(PLANS[Signal.METRICS].processes)
        assert all(used[name] >= before[name] for name in used)
        assert sum(used.values()) > sum(before.values())
        written = [file.read_text() for pattern in ("*.yaml", "*.log") for file in running.folder.glob(pattern)]
        assert len(written) == 5
        assert running.password not in "".join(written)
        peer.processes._processes[CONSUMER].kill()
        peer.processes._processes[CONSUMER].wait()
        with pytest.raises(LabError, match="peer consumer ended with code -9"):
            peer.cpu_seconds()


@pytest.mark.drill
def test_the_peer_carries_logs_to_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.ensure(next(recipe for recipe in RECIPES if recipe.name == VICTORIA_LOGS))
    plan = PLANS[Signal.LOGS]
    with running_peer(Signal.LOGS, plan.size, tmp_path, monkeypatch) as running:
        assert set(running.peer.cpu_seconds()) == set(plan.processes)
        running.carries(Load(rate=plan.rate, seconds=3, clients=2))
        # What an earlier turn sent is not counted again.
        running.carries(Load(rate=plan.rate, seconds=2, clients=2))
