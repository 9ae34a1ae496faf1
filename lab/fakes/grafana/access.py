"""Who may do what with folders and dashboards: items for roles, teams and persons, inherited from folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lab.fakes.grafana.database import Db
from lab.fakes.grafana.users import User

VIEW: Final = 1
EDIT: Final = 2
ADMIN: Final = 4
LEVELS: Final = {VIEW: "View", EDIT: "Edit", ADMIN: "Admin"}
"""Levels of a permission and their names."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What one person may do.

    Attributes:
        admin: Whether they may do everything.
        editor: Whether they may make root folders and dashboards outside of folders.
        folders: Folder -> level that an item of the folder itself gives them.
        dashboards: The same for dashboards.
        parents: Folder -> the folder that it is in, none at the root.
    """

    admin: bool
    editor: bool
    folders: Mapping[str, int]
    dashboards: Mapping[str, int]
    parents: Mapping[str, str | None]

    def folder(self, uid: str) -> int:
        """Level in a folder: the highest of its own and of the folders that it is in; 0: nothing."""
        if self.admin:
            return ADMIN
        return max(self.folders.get(ancestor, 0) for ancestor in (uid, *self.above(uid)))

    def dashboard(self, uid: str, folder_uid: str | None) -> int:
        """Level on a dashboard: the highest of its own and of its folder's."""
        if self.admin:
            return ADMIN
        return max(self.dashboards.get(uid, 0), self.folder(folder_uid) if folder_uid else 0)

    def inside(self, folder_uid: str | None) -> bool:
        """Whether they may make something in a folder, or outside of folders."""
        return self.folder(folder_uid) >= EDIT if folder_uid else self.admin or self.editor

    def above(self, uid: str) -> tuple[str, ...]:
        """Folders that a folder is in, the nearest first."""
        ancestors: list[str] = []
        at = self.parents.get(uid)
        while at and at not in ancestors:
            ancestors.append(at)
            at = self.parents.get(at)
        return tuple(ancestors)

    def below(self, uid: str) -> set[str]:
        """A folder and everything inside it."""
        return {parent for parent in self.parents if uid in (parent, *self.above(parent))}


def access_of(db: Db, person: User) -> Access:
    """Read what a person may do."""
    rows = db.execute("SELECT uid, parent_uid FROM folders").fetchall()
    parents = {row["uid"]: row["parent_uid"] for row in rows}
    items = []
    if not person.admin:
        items = db.execute(
            "SELECT folder_uid, dashboard_uid, max(level) AS level FROM permissions WHERE role = %(role)s OR "
            "person_id = %(id)s OR team_id IN (SELECT team_id FROM team_members WHERE person_id = %(id)s) "
            "GROUP BY folder_uid, dashboard_uid",
            {"role": person.role, "id": person.id},
        ).fetchall()
    return Access(
        admin=person.admin,
        editor=person.role == "Editor",
        folders={row["folder_uid"]: row["level"] for row in items if row["folder_uid"]},
        dashboards={row["dashboard_uid"]: row["level"] for row in items if row["dashboard_uid"]},
        parents=parents,
    )


def give_at_first(db: Db, person: User, *, folder: str = "", dashboard: str = "", root: bool) -> None:
    """The items of something new: its maker administrates it; at the root, editors edit it and viewers view it."""
    items: list[tuple[str | None, int | None, int]] = []
    if root:
        items += [("Editor", None, EDIT), ("Viewer", None, VIEW)]
    if not person.server_admin:
        items.append((None, person.id, ADMIN))
    for role, number, level in items:
        db.execute(
            "INSERT INTO permissions (folder_uid, dashboard_uid, role, person_id, level) VALUES (%s, %s, %s, %s, %s)",
            (folder or None, dashboard or None, role, number, level),
        )
