"""What is outside the platform, on loopback instead of the lab's address, with real servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import network
from lab.cluster.network import Daemon
from lab.paths import LabPaths
from tests.config.servers import free_port


@contextmanager
def loopback_lab(*modules: Any) -> Iterator[tuple[LabPaths, int]]:
    """A lab's folders that every user can enter, and a free port for the one server that the modules are about.

    Args:
        modules: Modules that have the server's ``URL``, address or port by import.
    """
    state = Path(tempfile.mkdtemp(prefix="obs-outside-", dir="/tmp"))
    state.chmod(0o755)
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBS_STATE", str(state))
        patch.setattr(network, "enter", lambda _: [])
        for module in modules:
            patch.setattr(module, "URL", f"{module.URL.partition('://')[0]}://127.0.0.1:{port}")
            patch.setattr(module, "RECEIVERS", "127.0.0.1")
            for name in ("STORAGE_PORT", "IDENTITY_PORT", "REGISTRY_PORT"):
                patch.setattr(module, name, port, raising=False)
        try:
            yield LabPaths("x"), port
        finally:
            shutil.rmtree(state)


@contextmanager
def started(process: Daemon) -> Iterator[Daemon]:
    """A process of the lab, until the block ends."""
    process.start()
    try:
        yield process
    finally:
        process.stop()
