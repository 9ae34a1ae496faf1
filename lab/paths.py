"""Where the lab keeps things: a cache shared by every checkout, and one state folder per checkout."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_SECOND = "-dr"


def cache_root() -> Path:
    """Folder of built tools and images, shared by all checkouts (``OBS_CACHE`` overrides)."""
    return Path(os.environ.get("OBS_CACHE") or Path.home() / ".cache" / "obs-platform")


@dataclass(frozen=True)
class LabPaths:
    """Folders and names of one cluster of one checkout, so that two checkouts, or clusters, never collide.

    What is outside the clusters (receivers, storage, registry, Pulumi's state) belongs to the first one.
    """

    instance: str

    @classmethod
    def of_checkout(cls, checkout: Path = CHECKOUT) -> LabPaths:
        """Derive the instance from the checkout's absolute path."""
        return cls(instance=hashlib.sha256(str(checkout).encode()).hexdigest()[:8])

    @property
    def is_second(self) -> bool:
        """Whether the cluster is that of the second region."""
        return self.instance.endswith(_SECOND)

    @property
    def first(self) -> LabPaths:
        """The first region's cluster of the same checkout."""
        return LabPaths(self.instance.removesuffix(_SECOND))

    @property
    def second(self) -> LabPaths:
        """The second region's cluster of the same checkout."""
        return LabPaths(self.first.instance + _SECOND)

    @property
    def state(self) -> Path:
        """Everything that a running cluster writes (``OBS_STATE`` overrides the parent folder)."""
        return Path(os.environ.get("OBS_STATE") or "/var/lib/obs-lab") / self.instance

    @property
    def netns(self) -> str:
        """Network namespace that holds the whole cluster; what is outside the clusters is in the first one's."""
        return f"obs-{self.instance}"

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig of this cluster."""
        return self.state / "pki" / "admin.kubeconfig"

    @property
    def commands_kubeconfig(self) -> Path:
        """Kubeconfig of commands: of the clusters that there are, always in one place, since Pulumi's state has it."""
        return self.first.state / "pki" / "commands.kubeconfig"

    @property
    def uid(self) -> str:
        """UID of this cluster, that of its namespace ``kube-system``; empty where it is not up."""
        return self.uid_file.read_text() if self.uid_file.exists() else ""

    @property
    def uid_file(self) -> Path:
        """Where it is kept."""
        return self.state / "uid"

    @property
    def logs(self) -> Path:
        """Logs of the cluster's own processes."""
        return self.state / "logs"

    @property
    def pulumi_home(self) -> Path:
        """``PULUMI_HOME`` with the plugins of this checkout."""
        return self.state / "pulumi"
