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
from typing import Any, ClassVar, Final

from lab.pulumi_host.grafana_client import CONFLICT, NOT_FOUND, Grafana
from lab.pulumi_host.grafana_dashboards import (
    ORGANIZATION,
    Dashboard,
    DashboardPermission,
    Folder,
    FolderPermission,
    Resource,
    identity_of,
    name_in,
    path_of,
)
from lab.pulumi_host.provider import Handler, Properties, Provider, ProviderError, Refusal, run

_PEOPLE: Final = ("members", "admins")
_TEAM_ADMIN: Final = 4
_NOT_HERE: Final = ("preferences", "teamSync")


class Team(Resource):
    """``grafana:oss/team:Team``; its id is ``1:number``. Its members are kept only where the program names any."""

    resource_type: ClassVar[str] = "grafana:oss/team:Team"
    inputs: ClassVar[frozenset[str]] = frozenset(
        {"name", "email", "orgId", "ignoreExternallySyncedMembers", *_PEOPLE, *_NOT_HERE}
    )
    computed: ClassVar[frozenset[str]] = frozenset({"teamId", "teamUid", "orgId"})

    def defaults(self, inputs: Properties, name: str) -> Properties:
        people: Properties = {key: _distinct(inputs[key]) for key in _PEOPLE if key in inputs}
        own = super().defaults(inputs, name)
        return {"name": name, "email": "", "ignoreExternallySyncedMembers": True, **own, **people}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = super().refusals(inputs, old)
        refusals += [
            Refusal(key, "is not kept by the lab's plugin: leave it out") for key in _NOT_HERE if key in inputs
        ]
        if inputs.get("name") == "":
            refusals.append(Refusal("name", "is empty"))
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        name = str(inputs["name"])
        purpose = f"create team {name}"
        body = {"name": name, "email": inputs["email"]}
        answer = self._grafana.call(purpose, "POST", path_of("teams"), body=body, accept={CONFLICT})
        number = self._same_name(name) if answer.status == CONFLICT else str(answer.content["teamId"])
        if number is None:
            raise ProviderError(f"grafana: {purpose}: {answer.said}")
        if answer.status == CONFLICT and not answer.repeated:
            raise self._exists(purpose, identity_of(number))
        try:
            self._set_people(number, inputs)
        except ProviderError:
            # The engine would not know of a team whose creation failed, and the next one would be refused.
            self.delete(identity_of(number), inputs)
            raise
        return identity_of(number), self._outputs(inputs, self._fetch(number))

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        number = name_in(identity)
        seen = self._fetch(number)
        if seen is None:
            return None
        people = self._people(number)
        live = {
            "name": seen["name"],
            "email": seen.get("email", ""),
            "ignoreExternallySyncedMembers": state.get("ignoreExternallySyncedMembers", True),
        }
        kept: Properties = {key: people[key] for key in _PEOPLE if key in state}
        return self._outputs({**live, **kept}, seen), {**live, **people}

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        number = name_in(identity)
        body = {"name": new["name"], "email": new["email"]}
        self._grafana.call(f"change team {new['name']}", "PUT", path_of("teams", number), body=body)
        self._set_people(number, new)
        return self._outputs(new, self._fetch(number))

    def delete(self, identity: str, state: Properties) -> None:
        number = name_in(identity)
        self._grafana.call(f"delete team {number}", "DELETE", path_of("teams", number), accept={NOT_FOUND})

    def _fetch(self, number: str) -> Any:
        answer = self._grafana.call(f"read team {number}", "GET", path_of("teams", number), accept={NOT_FOUND})
        return None if answer.status == NOT_FOUND else answer.content

    def _same_name(self, name: str) -> str | None:
        answer = self._grafana.call(f"find team {name}", "GET", path_of("teams", "search"), params={"name": name})
        return next((str(team["id"]) for team in answer.content["teams"] if team["name"] == name), None)

    def _people(self, number: str) -> dict[str, list[str]]:
        path = path_of("teams", number, "members")
        seen = self._grafana.call(f"read members of team {number}", "GET", path).content
        admins = [_address(member) for member in seen if member.get("permission") == _TEAM_ADMIN]
        return {
            "members": sorted(_address(member) for member in seen if member.get("permission") != _TEAM_ADMIN),
            "admins": sorted(admins),
        }

    def _set_people(self, number: str, inputs: Properties) -> None:
        given = {key: inputs[key] for key in _PEOPLE if key in inputs}
        if not given:
            return
        there = self._people(number)
        if "admins" not in given:
            given["admins"] = [admin for admin in there["admins"] if admin not in given["members"]]
        body = {"members": given.get("members", there["members"]), "admins": given["admins"]}
        body["members"] = [member for member in body["members"] if member not in body["admins"]]
        if body != there:
            path = path_of("teams", number, "members")
            self._grafana.call(f"set members of team {inputs['name']}", "PUT", path, body=body)

    def _outputs(self, inputs: Properties, seen: Any) -> Properties:
        return {**inputs, "teamId": seen["id"], "teamUid": seen.get("uid", ""), "orgId": ORGANIZATION}


def _address(member: Any) -> str:
    return str(member.get("email") or member["login"])


def _distinct(people: Any) -> Any:
    if isinstance(people, list) and all(isinstance(person, str) for person in people):
        return sorted(set(people))
    return people


_PREFERENCES: Final = {
    "theme": "theme",
    "timezone": "timezone",
    "weekStart": "weekStart",
    "homeDashboardUid": "homeDashboardUID",
}
_WEEK_STARTS: Final = ("", "sunday", "monday", "saturday")


class OrganizationPreferences(Resource):
    """``grafana:oss/organizationPreferences:OrganizationPreferences``; they always exist, and go by being emptied."""

    resource_type: ClassVar[str] = "grafana:oss/organizationPreferences:OrganizationPreferences"
    inputs: ClassVar[frozenset[str]] = frozenset({*_PREFERENCES, "orgId"})
    computed: ClassVar[frozenset[str]] = frozenset({"orgId"})

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = super().refusals(inputs, old)
        start = inputs.get("weekStart", "")
        if isinstance(start, str) and start not in _WEEK_STARTS:
            refusals.append(Refusal("weekStart", f"is {start}; allowed: {', '.join(_WEEK_STARTS[1:])} or empty"))
        return refusals

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        self._set("set the organization's preferences", inputs)
        return ORGANIZATION, {**inputs, "orgId": ORGANIZATION}

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        seen = self._grafana.call("read the organization's preferences", "GET", path_of("org", "preferences")).content
        every = {key: seen.get(name) or "" for key, name in _PREFERENCES.items()}
        live: Properties = {key: value for key, value in every.items() if value or key in state}
        return {**live, "orgId": ORGANIZATION}, live

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        self._set("change the organization's preferences", new)
        return {**new, "orgId": ORGANIZATION}

    def delete(self, identity: str, state: Properties) -> None:
        self._set("take back the organization's preferences", {})

    def _set(self, purpose: str, inputs: Properties) -> None:
        body = {name: inputs.get(key, "") for key, name in _PREFERENCES.items()}
        self._grafana.call(purpose, "PUT", path_of("org", "preferences"), body=body)


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
