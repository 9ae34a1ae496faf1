"""Who may do what with a folder or a dashboard. The list is whole: what it does not name is taken away."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from lab.pulumi_host.grafana_client import NOT_FOUND
from lab.pulumi_host.grafana_resource import ORGANIZATION, Resource, identity_of, name_in, path_of, uid_refusals
from lab.pulumi_host.provider import Refusal
from lab.pulumi_host.values import Properties, Unknown, has_unknown

_LEVELS: Final = {"View": 1, "Edit": 2, "Admin": 4}
_NAMES: Final = {level: name for name, level in _LEVELS.items()}
_ROLES: Final = ("Viewer", "Editor", "Admin")
_NUMBERED: Final = ("teamId", "userId")
_SUBJECTS: Final = ("role", *_NUMBERED)


class _Permission(Resource):
    """The permissions of one thing; their id is that of the thing, and they go by being emptied."""

    what: ClassVar[str]
    key: ClassVar[str]
    path: ClassVar[tuple[str, ...]]

    def defaults(self, inputs: Properties, name: str) -> Properties:
        target, items = inputs[self.key], inputs.get("permissions", [])
        return {
            **super().defaults(inputs, name),
            self.key: name_in(target) if isinstance(target, str) else target,
            "permissions": items if has_unknown(items) else _normal(items),
        }

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = super().refusals(inputs, old)
        target, items = inputs[self.key], inputs.get("permissions", [])
        if isinstance(target, str):
            refusals += uid_refusals(self.key, name_in(target))
        if isinstance(items, Unknown):
            return refusals
        reasons = [reason for item in items if not isinstance(item, Unknown) for reason in _reasons(item)]
        if not reasons and not has_unknown(items):
            subjects = [_subject(item) for item in _normal(items)]
            twice = sorted({subject for subject in subjects if subjects.count(subject) > 1})
            reasons = [f"name {key} {value} twice: keep one level for it" for key, value in twice]
        return refusals + [Refusal("permissions", reason) for reason in reasons]

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        uid = str(inputs[self.key])
        self._set(f"set permissions of {self.what} {uid}", uid, inputs["permissions"])
        return identity_of(uid), {**inputs, "orgId": ORGANIZATION}

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        uid = name_in(identity)
        purpose = f"read permissions of {self.what} {uid}"
        answer = self._grafana.call(purpose, "GET", self._path(uid), accept={NOT_FOUND})
        if answer.status == NOT_FOUND:
            return None
        own = [_item(seen) for seen in answer.content if not seen.get("inherited")]
        live = {self.key: uid, "permissions": _normal(own)}
        return {**live, "orgId": ORGANIZATION}, live

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        uid = name_in(identity)
        self._set(f"change permissions of {self.what} {uid}", uid, new["permissions"])
        return {**new, "orgId": ORGANIZATION}

    def delete(self, identity: str, state: Properties) -> None:
        uid = name_in(identity)
        self._set(f"take back permissions of {self.what} {uid}", uid, [], gone_is_good=True)

    def _set(self, purpose: str, uid: str, items: list[Properties], *, gone_is_good: bool = False) -> None:
        accept = {NOT_FOUND} if gone_is_good else frozenset[int]()
        body = {"items": [_command(item) for item in items]}
        self._grafana.call(purpose, "POST", self._path(uid), body=body, accept=accept)

    def _path(self, uid: str) -> str:
        return path_of(*self.path, uid, "permissions")


class FolderPermission(_Permission):
    """``grafana:oss/folderPermission:FolderPermission``; its id is ``1:uid of the folder``."""

    resource_type: ClassVar[str] = "grafana:oss/folderPermission:FolderPermission"
    inputs: ClassVar[frozenset[str]] = frozenset({"folderUid", "orgId", "permissions"})
    required: ClassVar[frozenset[str]] = frozenset({"folderUid"})
    replace_on: ClassVar[frozenset[str]] = frozenset({"folderUid"})
    computed: ClassVar[frozenset[str]] = frozenset({"orgId"})
    what: ClassVar[str] = "folder"
    key: ClassVar[str] = "folderUid"
    path: ClassVar[tuple[str, ...]] = ("folders",)


class DashboardPermission(_Permission):
    """``grafana:oss/dashboardPermission:DashboardPermission``; its id is ``1:uid of the dashboard``."""

    resource_type: ClassVar[str] = "grafana:oss/dashboardPermission:DashboardPermission"
    inputs: ClassVar[frozenset[str]] = frozenset({"dashboardUid", "orgId", "permissions"})
    required: ClassVar[frozenset[str]] = frozenset({"dashboardUid"})
    replace_on: ClassVar[frozenset[str]] = frozenset({"dashboardUid"})
    computed: ClassVar[frozenset[str]] = frozenset({"orgId"})
    what: ClassVar[str] = "dashboard"
    key: ClassVar[str] = "dashboardUid"
    path: ClassVar[tuple[str, ...]] = ("dashboards", "uid")


def _reasons(item: Any) -> list[str]:
    if not isinstance(item, dict):
        return [f"have an item {item}; each must name permission and one of {', '.join(_SUBJECTS)}"]
    reasons = [
        f"name {key}; allowed: permission, {', '.join(_SUBJECTS)}" for key in item.keys() - {"permission", *_SUBJECTS}
    ]
    level, role = item.get("permission"), item.get("role")
    if not isinstance(level, Unknown) and level not in _LEVELS:
        reasons.append(f"name the permission {level}; allowed: {', '.join(_LEVELS)}")
    given = [key for key in _SUBJECTS if not _absent(item.get(key))]
    if len(given) != 1:
        named = ", ".join(given) or "nobody"
        reasons.append(f"have an item for {named}; each must name exactly one of {', '.join(_SUBJECTS)}")
    elif isinstance(role, str) and role and role not in _ROLES:
        reasons.append(f"name the role {role}; allowed: {', '.join(_ROLES)}")
    reasons += [
        f'name the {key} {value}; it must be a number or like "{ORGANIZATION}:5"'
        for key in _NUMBERED
        if not isinstance(value := item.get(key), Unknown) and not _absent(value) and not name_in(str(value)).isdigit()
    ]
    return reasons


def _absent(value: Any) -> bool:
    return value in (None, "", "0", 0)


def _normal(items: list[Any]) -> list[Properties]:
    """Items in one order and one spelling, since Grafana keeps a set."""
    normalised = []
    for item in items:
        key, value = _subject(item)
        normalised.append({"permission": item["permission"], key: value})
    return sorted(normalised, key=lambda item: (*_subject(item), item["permission"]))


def _subject(item: Properties) -> tuple[str, str]:
    key = next(key for key in _SUBJECTS if not _absent(item.get(key)))
    return key, str(item[key]) if key == "role" else name_in(str(item[key]))


def _item(seen: Any) -> Properties:
    subject = {key: str(seen[key]) for key in _SUBJECTS if not _absent(seen.get(key))}
    return {"permission": _NAMES[seen["permission"]], **subject}


def _command(item: Properties) -> Properties:
    key, value = _subject(item)
    return {"permission": _LEVELS[item["permission"]], key: value if key == "role" else int(value)}
