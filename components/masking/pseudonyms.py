"""What becomes of an id at the gateway, for whoever has the key: `ops` finds a device by it."""

from __future__ import annotations

import hashlib
import hmac

KEY_BYTES = 32
"""Shortest key that the collector takes."""


def pseudonym(value: str, key: str) -> str:
    """The keyed hash (HMAC-SHA-256, hexadecimal) that stands for ``value`` in all telemetry.

    Raises:
        ValueError: The key is too short.
    """
    if len(key.encode()) < KEY_BYTES:
        raise ValueError(f"the key for ids has {len(key.encode())} bytes, must have at least {KEY_BYTES}")
    return hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()
