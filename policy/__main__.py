"""Serves the pack to the Pulumi engine."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.pack import NAME, policies

# The pack keeps every resource that it is told of: looking for garbage as often as usual is lost time.
gc.set_threshold(100_000, 20, 100)
PolicyPack(name=NAME, enforcement_level=EnforcementLevel.MANDATORY, policies=policies())
