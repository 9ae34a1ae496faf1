"""Dashboards. Every change but that of the uid is another version of the same dashboard, with its history."""

from __future__ import annotations

from typing import Any, ClassVar

from lab.pulumi_host import grafana_dashboard_json as dashboards
from lab.pulumi_host.grafana_client import NOT_FOUND, PRECONDITION
from lab.pulumi_host.grafana_resource import (
    ORGANIZATION,
    Resource,
    identity_of,
    name_in,
    new_uid,
    path_of,
    uid_refusals,
)
from lab.pulumi_host.provider import Refusal
from lab.pulumi_host.values import Properties


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
            **({} if model is None else {"configJson": dashboards.normal(model)}),
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
        model = dashboards.parse(str(inputs["configJson"])) or {}
        uid = str(model.get("uid") or new_uid())
        purpose = f"create dashboard {uid}"
        answer = self._grafana.call(
            purpose,
            "POST",
            path_of("dashboards", "db"),
            body=_command(inputs, model, uid, overwrite=bool(inputs.get("overwrite"))),
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
        shown = live if written is None else dashboards.as_written(live, written)
        seen: Properties = {key: state[key] for key in ("message", "overwrite") if key in state}
        seen["configJson"] = dashboards.normal(shown)
        if meta.get("folderUid") or "folder" in state:
            seen["folder"] = meta.get("folderUid", "")
        facts = {"uid": uid, "id": live["id"], "version": live["version"], "url": meta["url"]}
        return self._outputs(seen, facts), seen

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        uid = name_in(identity)
        model = dashboards.parse(str(new["configJson"])) or {}
        answer = self._grafana.call(
            f"change dashboard {uid}",
            "POST",
            path_of("dashboards", "db"),
            body=_command(new, model, uid, overwrite=True),
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
    return dashboards.parse(text) if isinstance(text, str) else None


def _command(inputs: Properties, model: Properties, uid: str, *, overwrite: bool) -> Properties:
    own = {key: value for key, value in model.items() if key not in ("id", "version")}
    return {
        "dashboard": {**own, "uid": uid},
        "folderUid": str(inputs.get("folder", "")),
        "message": str(inputs.get("message", "")),
        "overwrite": overwrite,
    }
