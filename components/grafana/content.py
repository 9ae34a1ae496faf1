"""What is in Grafana: folders, teams, permissions, dashboards, the page that everybody begins at (G2 to G5).

Made through Grafana's API by its provider, as the one administrator, so that a change is seen in a preview and what
somebody changed by hand is put right by the next ``pulumi up``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumiverse_grafana as grafana

from components.contracts import GrafanaEndpoint
from components.grafana.permissions import FolderSpec, Grant, TeamSpec, check, level

TOKEN = "obs:grafana:GrafanaContent"  # noqa: S105  (a type token)
_MESSAGE = "Made by pulumi up; change it in the repository"


@dataclass(frozen=True, kw_only=True)
class GrafanaContentArgs:
    """What is put into Grafana.

    Attributes:
        grafana: Where, and as whom.
        authority: PEM of the authority that signs Grafana's certificate, or None for a public one.
        folders: Folders, and which dashboards are in which.
        dashboards: Identity of a dashboard -> its JSON.
        home: Dashboard that everybody begins at.
        teams: Teams.
        dashboard_grants: Dashboard -> who may do what with it, instead of what its folder says.
        time_zone: Time zone of everybody who has not chosen another one; an IANA name.
        theme: ``light``, ``dark`` or ``system``.
        week_start: First day of the week.
    """

    grafana: GrafanaEndpoint
    authority: pulumi.Input[str] | None
    folders: Sequence[FolderSpec]
    dashboards: Mapping[str, str]
    home: str
    teams: Sequence[TeamSpec] = ()
    dashboard_grants: Mapping[str, Sequence[Grant]] = field(default_factory=dict)
    time_zone: str = "Asia/Tokyo"
    theme: str = "system"
    week_start: str = "monday"

    def __post_init__(self) -> None:
        check(self.folders, self.dashboards, self.teams, self.dashboard_grants, self.home)


class GrafanaContent(pulumi.ComponentResource):
    """Everything that people find in Grafana.

    Attributes:
        dashboards: Dashboard -> its address in a browser.
        after: Resources that exist once everything is there, for ``depends_on``.
    """

    dashboards: Mapping[str, str]
    after: tuple[pulumi.Resource, ...]

    def __init__(self, name: str, args: GrafanaContentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        self._name = name
        user = args.grafana.administrator
        provider = grafana.Provider(
            f"{name}-provider",
            url=args.grafana.url,
            auth=pulumi.Output.concat(user.username, ":", user.password),
            ca_cert=args.authority,
            org_id=1,
            retries=5,
            retry_wait=3,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._options = pulumi.ResourceOptions(parent=self, provider=provider, depends_on=list(args.grafana.after))
        teams = {team.name: self._team(team) for team in args.teams}
        folders = {spec.uid: self._folder(spec) for spec in args.folders}
        permissions = [
            grafana.oss.FolderPermission(
                f"{name}-{spec.uid}",
                folder_uid=folders[spec.uid].uid,
                permissions=list(_folder_items(spec.grants, teams)),
                opts=self._options,
            )
            for spec in args.folders
        ]
        dashboards = {
            uid: self._dashboard(uid, args.dashboards[uid], folders[spec.uid])
            for spec in args.folders
            for uid in spec.dashboards
        }
        own = [
            grafana.oss.DashboardPermission(
                f"{name}-{uid}",
                dashboard_uid=uid,
                permissions=list(_dashboard_items(grants, teams)),
                opts=self._once(dashboards[uid]),
            )
            for uid, grants in args.dashboard_grants.items()
        ]
        preferences = grafana.oss.OrganizationPreferences(
            f"{name}-preferences",
            home_dashboard_uid=args.home,
            theme=args.theme,
            timezone=args.time_zone,
            week_start=args.week_start,
            opts=self._once(dashboards[args.home]),
        )
        self.dashboards = {uid: f"{args.grafana.url}/d/{uid}" for uid in dashboards}
        self.after = (*dashboards.values(), *permissions, *own, preferences)
        self.register_outputs({"dashboards": self.dashboards})

    def _once(self, dashboard: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of what names a dashboard: its identity is known before it exists, as it is in its JSON."""
        return pulumi.ResourceOptions.merge(self._options, pulumi.ResourceOptions(depends_on=[dashboard]))

    def _team(self, spec: TeamSpec) -> grafana.oss.Team:
        return grafana.oss.Team(
            f"{self._name}-{spec.name}",
            name=spec.name,
            email=spec.email or None,
            members=list(spec.members),
            opts=self._options,
        )

    def _folder(self, spec: FolderSpec) -> grafana.oss.Folder:
        return grafana.oss.Folder(
            f"{self._name}-{spec.uid}",
            uid=spec.uid,
            title=spec.title,
            # What somebody else has put in there goes with nobody's knowledge otherwise.
            prevent_destroy_if_not_empty=True,
            opts=self._options,
        )

    def _dashboard(self, uid: str, text: str, folder: grafana.oss.Folder) -> grafana.oss.Dashboard:
        return grafana.oss.Dashboard(
            f"{self._name}-{uid}",
            config_json=text,
            folder=folder.uid,
            # A dashboard that was restored with the database, or changed by hand, is ours again.
            overwrite=True,
            message=_MESSAGE,
            opts=self._options,
        )


def _team_id(grant: Grant, teams: Mapping[str, grafana.oss.Team]) -> pulumi.Output[str] | None:
    return teams[grant.team].team_id.apply(str) if grant.team else None


def _folder_items(
    grants: Sequence[Grant], teams: Mapping[str, grafana.oss.Team]
) -> Iterator[grafana.oss.FolderPermissionPermissionArgs]:
    for grant in grants:
        yield grafana.oss.FolderPermissionPermissionArgs(
            permission=level(grant), role=grant.org_role, team_id=_team_id(grant, teams)
        )


def _dashboard_items(
    grants: Sequence[Grant], teams: Mapping[str, grafana.oss.Team]
) -> Iterator[grafana.oss.DashboardPermissionPermissionArgs]:
    for grant in grants:
        yield grafana.oss.DashboardPermissionPermissionArgs(
            permission=level(grant), role=grant.org_role, team_id=_team_id(grant, teams)
        )
