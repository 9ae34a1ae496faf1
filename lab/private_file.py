"""Files that only their owner can read, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    fresh = file.with_name(f"{file.name}.part")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    os.replace(fresh, file)
