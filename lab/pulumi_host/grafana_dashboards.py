"""Folders, dashboards and who may do what with them, and what all of Grafana's resources share."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, ClassVar, Final
from urllib.parse import quote

from lab.pulumi_host.grafana_client import CONFLICT, NOT_FOUND, PRECONDITION, Grafana
from lab.pulumi_host.provider import Handler, Properties, ProviderError, Refusal, Unknown, has_unknown

ORGANIZATION: Final = "1"
_UID: Final = re.compile(r"[a-zA-Z0-9_-]{1,40}")


def identity_of(name: object) -> str:
    """Return the id of a resource in the state: the organization's and its own, as upstream writes it."""
    return f"{ORGANIZATION}:{name}"


def name_in(identity: str) -> str:
    """Return a resource's own part of its id; what is given without the organization's is taken as it is."""
    return identity.rpartition(":")[2]


def path_of(*parts: str) -> str:
    """Return the path of something in Grafana's API."""
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def new_uid() -> str:
    """Draw a uid here and not in Grafana: a request that is repeated must not make a second thing."""
    return uuid.uuid4().hex[:14]


def uid_refusals(key: str, uid: Any, what: str = "is") -> list[Refusal]:
    """Refuse a uid that Grafana would not take."""
    if isinstance(uid, Unknown) or (isinstance(uid, str) and _UID.fullmatch(uid)):
        return []
    return [Refusal(key, f"{what} {uid}; it must be 1 to 40 letters, digits, - and _")]


class Resource(Handler):
    """A resource of the main organization."""

    def __init__(self, grafana: Grafana) -> None:
        """Keep resources in ``grafana``."""
        self._grafana = grafana

    def defaults(self, inputs: Properties, name: str) -> Properties:
        """Leave the organization out once it is accepted: there is one, and naming it must change nothing."""
        return {key: value for key, value in inputs.items() if key != "orgId"}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        organization = inputs.get("orgId", ORGANIZATION)
        if isinstance(organization, Unknown) or organization == ORGANIZATION:
            return []
        reason = f"is {organization}; the lab's plugin keeps the main organization, {ORGANIZATION}, only: leave it out"
        return [Refusal("orgId", reason)]

    def _exists(self, purpose: str, identity: str) -> ProviderError:
        return ProviderError(
            f"grafana: {purpose}: it exists already. Import it: pulumi import {self.resource_type} NAME {identity}"
        )


_NAMED_IN_MESSAGE = 5


class Folder(Resource):
    """``grafana:oss/folder:Folder``; its id is ``1:uid``."""

    resource_type: ClassVar[str] = "grafana:oss/folder:Folder"
    inputs: ClassVar[frozenset[str]] = frozenset(
        {"title", "uid", "orgId", "parentFolderUid", "preventDestroyIfNotEmpty"}
    )
    required: ClassVar[frozenset[str]] = frozenset({"title"})
    replace_on: ClassVar[frozenset[str]] = frozenset({"uid", "parentFolderUid"})
    computed: ClassVar[frozenset[str]] = frozenset({"uid", "url", "orgId"})

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = super().refusals(inputs, old)
        if inputs["title"] == "":
            refusals.append(Refusal("title", "is empty"))
        for key in ("uid", "parentFolderUid"):
            if key in inputs:
                refusals += uid_refusals(key, inputs[key])
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        uid = str(inputs.get("uid") or new_uid())
        purpose = f"create folder {uid}"
        body = {"uid": uid, "title": inputs["title"]}
        if "parentFolderUid" in inputs:
            body["parentUid"] = inputs["parentFolderUid"]
        answer = self._grafana.call(purpose, "POST", path_of("folders"), body=body, accept={CONFLICT, PRECONDITION})
        seen = answer.content
        if answer.status in (CONFLICT, PRECONDITION):
            seen = self._fetch(uid)
            if seen is None:
                raise ProviderError(f"grafana: {purpose}: {answer.said}")
            if not (answer.repeated and seen["title"] == inputs["title"]):
                raise self._exists(purpose, identity_of(uid))
        return identity_of(uid), self._outputs(inputs, seen)

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        seen = self._fetch(name_in(identity))
        if seen is None:
            return None
        live = {"uid": seen["uid"], "title": seen["title"]}
        if seen.get("parentUid"):
            live["parentFolderUid"] = seen["parentUid"]
        kept: Properties = {key: state[key] for key in ("preventDestroyIfNotEmpty",) if key in state}
        return self._outputs({**kept, **live}, seen), {**kept, **live}

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        uid = name_in(identity)
        body = {"title": new["title"], "overwrite": True}
        answer = self._grafana.call(f"change folder {uid}", "PUT", path_of("folders", uid), body=body)
        return self._outputs(new, answer.content)

    def delete(self, identity: str, state: Properties) -> None:
        uid = name_in(identity)
        purpose = f"delete folder {uid}"
        if state.get("preventDestroyIfNotEmpty"):
            inside = self._grafana.call(purpose, "GET", path_of("search"), params={"folderUIDs": uid}).content
            if inside:
                titles = ", ".join(str(hit["title"]) for hit in inside[:_NAMED_IN_MESSAGE])
                raise ProviderError(
                    f"grafana: {purpose}: preventDestroyIfNotEmpty is set and it holds {len(inside)}: {titles}. "
                    "Move or delete these first"
                )
        params = {"forceDeleteRules": "true"}
        self._grafana.call(purpose, "DELETE", path_of("folders", uid), params=params, accept={NOT_FOUND})

    def _fetch(self, uid: str) -> Any:
        answer = self._grafana.call(f"read folder {uid}", "GET", path_of("folders", uid), accept={NOT_FOUND})
        return None if answer.status == NOT_FOUND else answer.content

    def _outputs(self, inputs: Properties, seen: Any) -> Properties:
        return {**inputs, "uid": seen["uid"], "orgId": ORGANIZATION, "url": self._grafana.address(seen["url"])}


_BY_GRAFANA: Final = ("id", "version")
_OF_A_LIBRARY_PANEL: Final = ("name", "uid")


def parse(text: str) -> Properties | None:
    """Return the model, or nothing if the text is no JSON object."""
    try:
        model = json.loads(text)
    except json.JSONDecodeError:
        return None
    return model if isinstance(model, dict) else None


def normal(model: Properties) -> str:
    """Return a model as text without what Grafana keeps itself: number and version of the dashboard."""
    own = {key: value for key, value in model.items() if key not in _BY_GRAFANA}
    return json.dumps(_plain(own), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def as_written(live: Properties, written: Properties) -> Properties:
    """Return Grafana's model without the identities that it drew because the written model has none."""
    model = dict(live)
    if "uid" not in written:
        model.pop("uid", None)
    if isinstance(live.get("panels"), list) and isinstance(written.get("panels"), list):
        model["panels"] = _panels_as_written(live["panels"], written["panels"])
    return model


def _panels_as_written(live: list[Any], written: list[Any]) -> list[Any]:
    panels = list(live)
    for place, (seen, own) in enumerate(zip(live, written, strict=False)):
        if isinstance(seen, dict) and isinstance(own, dict):
            panels[place] = {key: value for key, value in seen.items() if key != "id" or "id" in own}
            if isinstance(seen.get("panels"), list) and isinstance(own.get("panels"), list):
                panels[place]["panels"] = _panels_as_written(seen["panels"], own["panels"])
    return panels


def _plain(value: Any) -> Any:
    """Whole numbers as such, however they were written, and of a library panel only which one it is."""
    if isinstance(value, dict):
        return {
            key: (
                {part: item[part] for part in _OF_A_LIBRARY_PANEL if part in item}
                if key == "libraryPanel" and isinstance(item, dict)
                else _plain(item)
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class Dashboard(Resource):
    """``grafana:oss/dashboard:Dashboard``; its id is ``1:uid``."""

    resource_type: ClassVar[str] = "grafana:oss/dashboard:Dashboard"
    inputs: ClassVar[frozenset[str]] = frozenset({"configJson", "folder", "message", "orgId", "overwrite"})
    required: ClassVar[frozenset[str]] = frozenset({"configJson"})
    computed: ClassVar[frozenset[str]] = frozenset({"uid", "url", "dashboardId", "version", "orgId"})

    def defaults(self, inputs: Properties, name: str) -> Properties:
        model, folder = _model(inputs), inputs.get("folder")
        return {
            **super().defaults(inputs, name),
            **({} if model is None else {"configJson": normal(model)}),
            **({"folder": name_in(folder)} if isinstance(folder, str) else {}),
        }

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = super().refusals(inputs, old)
        if not isinstance(inputs["configJson"], str):
            return refusals
        model = _model(inputs)
        if model is None:
            return [*refusals, Refusal("configJson", "is not a JSON object: it must be a dashboard's model")]
        if not isinstance(model.get("title"), str) or not model["title"]:
            refusals.append(Refusal("configJson", "has no title"))
        if "uid" in model:
            refusals += uid_refusals("configJson", model["uid"], "has the uid")
        return refusals

    def replaced_by(self, key: str, old: Properties, new: Properties) -> bool:
        before, after = _model(old), _model(new)
        uid_changes = before is not None and after is not None and before.get("uid") != after.get("uid")
        return key == "configJson" and uid_changes

    def foreseen(self, inputs: Properties) -> Properties:
        uid = (_model(inputs) or {}).get("uid")
        return {**super().foreseen(inputs), **({} if uid is None else {"uid": uid})}

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        model = parse(str(inputs["configJson"])) or {}
        uid = str(model.get("uid") or new_uid())
        purpose = f"create dashboard {uid}"
        answer = self._grafana.call(
            purpose,
            "POST",
            path_of("dashboards", "db"),
            body=_dashboard_command(inputs, model, uid, overwrite=bool(inputs.get("overwrite"))),
            accept={PRECONDITION},
        )
        if answer.status == PRECONDITION:
            existing = self.read(identity_of(uid), inputs) if answer.repeated else None
            if existing is None or existing[0]["configJson"] != inputs["configJson"]:
                raise self._exists(f"{purpose}: {answer.said}", identity_of(uid))
            return identity_of(uid), {**inputs, **existing[0]}
        return identity_of(uid), self._outputs(inputs, answer.content)

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        uid = name_in(identity)
        path = path_of("dashboards", "uid", uid)
        answer = self._grafana.call(f"read dashboard {uid}", "GET", path, accept={NOT_FOUND})
        if answer.status == NOT_FOUND:
            return None
        live, meta = answer.content["dashboard"], answer.content["meta"]
        written = _model(state)
        shown = live if written is None else as_written(live, written)
        seen: Properties = {key: state[key] for key in ("message", "overwrite") if key in state}
        seen["configJson"] = normal(shown)
        if meta.get("folderUid") or "folder" in state:
            seen["folder"] = meta.get("folderUid", "")
        facts = {"uid": uid, "id": live["id"], "version": live["version"], "url": meta["url"]}
        return self._outputs(seen, facts), seen

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        uid = name_in(identity)
        model = parse(str(new["configJson"])) or {}
        answer = self._grafana.call(
            f"change dashboard {uid}",
            "POST",
            path_of("dashboards", "db"),
            body=_dashboard_command(new, model, uid, overwrite=True),
        )
        return self._outputs(new, answer.content)

    def delete(self, identity: str, state: Properties) -> None:
        uid = name_in(identity)
        path = path_of("dashboards", "uid", uid)
        self._grafana.call(f"delete dashboard {uid}", "DELETE", path, accept={NOT_FOUND})

    def _outputs(self, inputs: Properties, seen: Any) -> Properties:
        return {
            **inputs,
            "uid": seen["uid"],
            "dashboardId": seen["id"],
            "version": seen["version"],
            "url": self._grafana.address(seen["url"]),
            "orgId": ORGANIZATION,
        }


def _model(properties: Properties) -> Properties | None:
    text = properties.get("configJson")
    return parse(text) if isinstance(text, str) else None


def _dashboard_command(inputs: Properties, model: Properties, uid: str, *, overwrite: bool) -> Properties:
    own = {key: value for key, value in model.items() if key not in ("id", "version")}
    return {
        "dashboard": {**own, "uid": uid},
        "folderUid": str(inputs.get("folder", "")),
        "message": str(inputs.get("message", "")),
        "overwrite": overwrite,
    }


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
        body = {"items": [_permission_command(item) for item in items]}
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


def _permission_command(item: Properties) -> Properties:
    key, value = _subject(item)
    return {"permission": _LEVELS[item["permission"]], key: value if key == "role" else int(value)}
