"""What every part of the platform is built from; all of it is known before the first workload."""

from __future__ import annotations

from dataclasses import dataclass

from components.k8s import DeploymentContext
from stacks.endpoints import Endpoints
from stacks.settings import Role, Settings
from stacks.sizing import Sizing


@dataclass(frozen=True, kw_only=True)
class PlatformInputs:
    """Decided before anything runs.

    Attributes:
        settings: What the stack file says.
        role: What this region is at present.
        sizing: Numbers of the profile.
        context: Deployment context.
        endpoints: What the parts know of each other.
    """

    settings: Settings
    role: Role
    sizing: Sizing
    context: DeploymentContext
    endpoints: Endpoints

    @property
    def mirrored(self) -> bool:
        """Whether the other region's Kafka is copied into this one."""
        return self.settings.mirrored(self.role)
