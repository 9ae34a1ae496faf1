"""Questions to the search cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ops.core.errors import OpsError, one_line
from ops.core.web import Web

_SHOWN = 160
"""Characters of an answer in a message."""


def ask(web: Web, url: str, auth: tuple[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    """What the cluster answers to a JSON request.

    Args:
        web: Session that trusts the cluster's authority.
        url: Address of the request.
        auth: User and password.
        body: The request.

    Raises:
        OpsError: The cluster refuses, or does not answer, or not with an object, or a part of it does not answer.
    """
    headers = {"Content-Type": "application/json"}
    with web.call("POST", url, auth=auth, data=json.dumps(body).encode(), headers=headers) as response:
        if response.status_code != 200:
            raise OpsError(f"the search cluster answered {response.status_code}: {one_line(response.text, _SHOWN)}")
        try:
            answer = response.json()
        except ValueError:
            answer = None
    if not isinstance(answer, dict):
        raise unexpected()
    shards = answer.get("_shards", {})
    if answer.get("timed_out") or shards.get("failed"):
        raise OpsError(
            f"the search cluster answered from {shards.get('successful')} of {shards.get('total')} shards only"
        )
    return answer


def unexpected() -> OpsError:
    """The error for an answer that is none of the search cluster's."""
    return OpsError("the search cluster did not answer as one does")
