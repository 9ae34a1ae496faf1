"""Backups on the live platform: commands as an operator gives them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ops.core.context import Context
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import wait_until
from ops.core.platform import PROJECT

COMMAND_S = 600


def ops(*words: str, good: Sequence[int] = (0,)) -> str:
    """Give a command as an operator does; what it prints to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode in good, f"ops {' '.join(words)}: {done.returncode}: {(done.stdout + done.stderr)[-1500:]}"
    assert "AGE-SECRET-KEY" not in done.stdout + done.stderr
    return done.stdout


def ops_json(*words: str, good: Sequence[int] = (0,)) -> dict[str, Any]:
    """The same for a command that prints JSON."""
    document: dict[str, Any] = json.loads(ops(*words, "--json", good=good))
    return document


def new_topic(context: Context, name: str) -> None:
    """A topic of three partitions with settings of its own."""
    config = {"min.insync.replicas": "2", "retention.ms": "3600000"}
    topic = ADMIN.NewTopic(name, num_partitions=3, replication_factor=3, config=config)
    context.kafka.client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
    wait_until(lambda: name in context.kafka.topics(), 30, f"topic {name}")
