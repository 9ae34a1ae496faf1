"""What all of Grafana's resources share: ids as upstream has them, one organization, uids."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final
from urllib.parse import quote

from lab.pulumi_host.grafana_client import Grafana
from lab.pulumi_host.provider import Handler, ProviderError, Refusal
from lab.pulumi_host.values import Properties, Unknown

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
