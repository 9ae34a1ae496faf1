"""Habits of the Pulumi SDK and of Python that a program of hundreds of resources cannot afford."""

from __future__ import annotations

import gc
import os
from typing import Any, Final

from pulumi import log

DEBUG: Final = "OBS_SDK_DEBUG"
"""Environment variable that lets the SDK send its debug lines, for ``pulumi preview --debug``."""


def spare() -> None:
    """Send no debug lines of the SDK, and collect no garbage.

    The SDK sends the engine four lines for each resource and waits for the answer to each one; the engine drops them
    unless it was called with ``--debug``. What a program makes it keeps until it ends, after seconds: the collector
    would walk all of it again and again.
    """
    gc.disable()
    if not os.environ.get(DEBUG):
        log.debug = _unsent


def _unsent(*_message: Any, **_options: Any) -> None:
    """Take a line and send nothing."""
