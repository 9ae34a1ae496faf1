"""Who may see and change which dashboards, as data (requirement G5).

Grafana's rules: a folder or dashboard is seen by whom an entry names, by role or by team; a role's entry holds for that
role alone; what has no entries of its own has those of the folder it is in. Administrators may do everything.

Made through Grafana's API by its provider, as the one administrator, so that a change is seen in a preview and what
somebody changed by hand is put right by the next ``pulumi up``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pulumi
import pulumiverse_grafana as grafana

from components.contracts import GrafanaEndpoint

_UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_ROLES = ("Viewer", "Editor")


class Level(StrEnum):
    """What somebody may do."""

    VIEW = "View"
    EDIT = "Edit"
    ADMIN = "Admin"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """One entry: exactly one of ``org_role`` (``Viewer``, ``Editor``) and ``team``.

    Attributes:
        may: What they may do.
        org_role: Everybody with this role.
        team: Members of this team.
    """

    may: Level
    org_role: str | None = None
    team: str | None = None

    def __post_init__(self) -> None:
        if (self.org_role is None) == (self.team is None):
            raise ValueError(f"a grant has role {self.org_role!r} and team {self.team!r}: name exactly one of them")
        if self.org_role is not None and self.org_role not in _ROLES:
            raise ValueError(
                f"a grant has role {self.org_role!r}: use {' or '.join(_ROLES)}; administrators may do all anyway"
            )
        if self.org_role == "Viewer" and self.may is not Level.VIEW:
            raise ValueError(
                f"a grant gives every viewer {self.may}: give viewers View, and a team or editors the rest"
            )


@dataclass(frozen=True, kw_only=True)
class FolderSpec:
    """One folder.

    Attributes:
        uid: Its identity; the same in every installation.
        title: For people.
        dashboards: Identities of the dashboards in it.
        grants: Who may do what with everything in it.
    """

    uid: str
    title: str
    dashboards: tuple[str, ...]
    grants: tuple[Grant, ...]


@dataclass(frozen=True, kw_only=True)
class TeamSpec:
    """One team.

    Attributes:
        name: Its name.
        email: Address of it, or empty.
        members: Mail addresses of its members. Grafana knows people only after their first login, and refuses others;
            members from groups of the directory are a feature of its Enterprise edition.
    """

    name: str
    email: str = ""
    members: tuple[str, ...] = ()


EVERYBODY = (Grant(org_role="Viewer", may=Level.VIEW), Grant(org_role="Editor", may=Level.EDIT))
"""All may look; editors may add and change dashboards. What they change of ours, `pulumi up --refresh` takes back."""
EDITORS = (Grant(org_role="Editor", may=Level.EDIT),)
"""Viewers do not see it at all."""

FOLDERS: tuple[FolderSpec, ...] = (
    FolderSpec(
        uid="obs-overview",
        title="Overview",
        dashboards=("obs-overview", "obs-traces", "obs-alerting", "obs-service", "obs-trace"),
        grants=EVERYBODY,
    ),
    FolderSpec(
        uid="obs-layers",
        title="Layers",
        dashboards=(
            "obs-layer-device",
            "obs-layer-streaming",
            "obs-layer-business",
            "obs-layer-data",
            "obs-layer-analytics",
        ),
        grants=EVERYBODY,
    ),
    FolderSpec(
        uid="obs-operations",
        title="Operations",
        dashboards=("obs-operations", "obs-kafka", "obs-visualization", "obs-recovery"),
        grants=EDITORS,
    ),
)
"""Where the platform's own dashboards are, and who sees them."""
HOME = "obs-overview"


def level(grant: Grant) -> str:
    """What a grant allows, as Grafana's provider writes it."""
    return grant.may.value


def check(
    folders: Sequence[FolderSpec],
    dashboards: Mapping[str, str],
    teams: Sequence[TeamSpec],
    dashboard_grants: Mapping[str, Sequence[Grant]],
    home: str,
) -> None:
    """Check that everything that is named exists, and every dashboard has one place.

    Raises:
        ValueError: Something does not fit; one line, with the key, the value and what to do.
    """
    for problem in _validation_errors(folders, dashboards, teams, dashboard_grants, home):
        raise ValueError(problem)


def _validation_errors(
    folders: Sequence[FolderSpec],
    dashboards: Mapping[str, str],
    teams: Sequence[TeamSpec],
    dashboard_grants: Mapping[str, Sequence[Grant]],
    home: str,
) -> Iterator[str]:
    yield from _places(folders, dashboards)
    names = {team.name for team in teams}
    if len(names) != len(teams):
        yield "teams: a name occurs twice; give every team a name of its own"
    for place, grants in [*((spec.uid, spec.grants) for spec in folders), *dashboard_grants.items()]:
        named = [(grant.org_role, grant.team) for grant in grants]
        if len(set(named)) != len(named):
            yield f"grants of {place}: a role or a team occurs twice; keep one entry of it"
        for grant in grants:
            if grant.team and grant.team not in names:
                yield f"grants of {place}: there is no team {grant.team!r}; add it to teams, or remove the grant"
    placed = {uid for spec in folders for uid in spec.dashboards}
    for uid in (home, *dashboard_grants):
        if uid not in placed:
            yield f"dashboard {uid!r} is in no folder: allowed are {', '.join(sorted(placed))}"


def _places(folders: Sequence[FolderSpec], dashboards: Mapping[str, str]) -> Iterator[str]:
    uids = [spec.uid for spec in folders]
    if len(set(uids)) != len(uids):
        yield f"folders are {', '.join(uids)}: each uid may occur once"
    for uid in (*uids, *dashboards):
        if not _UID.fullmatch(uid):
            yield f"uid {uid!r}: use 1 to 40 letters, digits, - and _"
    placed = [uid for spec in folders for uid in spec.dashboards]
    for uid in dashboards:
        if placed.count(uid) != 1:
            yield f"dashboard {uid} is in {placed.count(uid)} folders: put it into exactly one"
        if json.loads(dashboards[uid]).get("uid") != uid:
            yield f"dashboard {uid}: its JSON has another uid; give it the one that it is listed under"
    for uid in placed:
        if uid not in dashboards:
            yield f"folder of dashboard {uid}: there is no such dashboard; allowed are {', '.join(sorted(dashboards))}"


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
