"""Provider plugin for ``pulumiverse-grafana``: folders, dashboards, permissions, teams, preferences.

Configuring it never connects, so a preview works before there is a Grafana. It is a part of the lab, which stands in
for the vendor's plugin since no package registry serves that; it keeps to the vendor's ids, property names and
settings, and knows the resource types that the platform uses and no more. What it says to Grafana is the public HTTP
API of version 12.3. The product's code never imports it and runs with either.

It is stricter than the vendor's in four points: https only, ``insecureSkipVerify`` is refused, ``auth`` is
"user:password", and there is one organization. It is more patient where the program sets nothing: 30 ``retries`` with
a ``retryWait`` of 2 s.
"""

from __future__ import annotations

import importlib.metadata
import threading

from lab.pulumi_host.grafana_client import Grafana
from lab.pulumi_host.grafana_dashboards import Dashboard
from lab.pulumi_host.grafana_folders import Folder
from lab.pulumi_host.grafana_organization import OrganizationPreferences, Team
from lab.pulumi_host.grafana_permissions import DashboardPermission, FolderPermission
from lab.pulumi_host.provider import Handler, Provider, run
from lab.pulumi_host.values import Properties

PACKAGE = "pulumiverse-grafana"


class GrafanaProvider(Provider):
    """The handlers, on one shared session."""

    def __init__(self, version: str, grafana: Grafana, stopping: threading.Event) -> None:
        """Serve the resources of ``grafana``."""
        handlers: list[Handler] = [
            Folder(grafana),
            FolderPermission(grafana),
            Dashboard(grafana),
            DashboardPermission(grafana),
            Team(grafana),
            OrganizationPreferences(grafana),
        ]
        super().__init__(version, handlers, stopping)
        self._grafana = grafana

    def configure(self, configuration: Properties) -> None:
        self._grafana.configure(configuration)


def main() -> None:
    """Run as ``pulumi-resource-grafana``."""
    stopping = threading.Event()
    run(GrafanaProvider(importlib.metadata.version(PACKAGE), Grafana(stopping), stopping), stopping)
