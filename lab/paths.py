"""Where the lab keeps things: a cache shared by every checkout, and one state folder per checkout."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """Folder of built tools and images, shared by all checkouts (``OBS_CACHE`` overrides)."""
    return Path(os.environ.get("OBS_CACHE") or Path.home() / ".cache" / "obs-platform")


@dataclass(frozen=True)
class LabPaths:
    """Folders and names that belong to one checkout, so that two checkouts never collide."""

    instance: str

    @classmethod
    def of_checkout(cls, checkout: Path = CHECKOUT) -> LabPaths:
        """Derive the instance from the checkout's absolute path."""
        return cls(instance=hashlib.sha256(str(checkout).encode()).hexdigest()[:8])

    @property
    def state(self) -> Path:
        """Everything that a running cluster writes (``OBS_STATE`` overrides the parent folder)."""
        return Path(os.environ.get("OBS_STATE") or "/var/lib/obs-lab") / self.instance

    @property
    def netns(self) -> str:
        """Network namespace that holds the whole cluster."""
        return f"obs-{self.instance}"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig of the embedded cluster."""
        return self.state / "pki" / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        """Logs of the cluster's own processes."""
        return self.state / "logs"

    @property
    def pulumi_home(self) -> Path:
        """``PULUMI_HOME`` with the plugins of this checkout."""
        return self.state / "pulumi"
