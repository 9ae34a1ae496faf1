"""Who may see and change which dashboards, as data (requirement G5).

Grafana's rules: a folder or dashboard is seen by whom an entry names, by role or by team; a role's entry holds for that
role alone; what has no entries of its own has those of the folder it is in. Administrators may do everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
