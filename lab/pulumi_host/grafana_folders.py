"""Folders. A folder that exists already is never taken over; deleting one deletes what is in it, as Grafana does."""

from __future__ import annotations

from typing import Any, ClassVar

from lab.pulumi_host.grafana_client import CONFLICT, NOT_FOUND, PRECONDITION
from lab.pulumi_host.grafana_resource import (
    ORGANIZATION,
    Resource,
    identity_of,
    name_in,
    new_uid,
    path_of,
    uid_refusals,
)
from lab.pulumi_host.provider import ProviderError, Refusal
from lab.pulumi_host.values import Properties

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
