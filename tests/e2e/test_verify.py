"""``ops verify`` itself, as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ops.platform import PROJECT, Platform
from ops.requirements import REQUIREMENT_IDS


@pytest.mark.timeout(600)
def test_it_prints_a_row_for_every_requirement_and_no_password(platform: Platform) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", "verify", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=570,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr[-2000:]
    rows = json.loads(done.stdout)["rows"]
    assert [row["id"] for row in rows] == list(REQUIREMENT_IDS)
    logins = [platform.kafka_admin, platform.query_reader, *platform.otlp_credentials.values()]
    assert not any(login.pair[1] in done.stdout + done.stderr for login in logins)
    # Rows that need no drill hold on any healthy platform.
    status = {row["id"]: row for row in rows}
    for identifier in ("L1", "L2", "L3", "L4", "L5", "K2", "K4", "K5", "O2", "P2"):
        assert status[identifier]["status"] == "pass", status[identifier]
