"""Commands of operators: ``ops`` tells each of them as an Event of Kubernetes in the platform's namespace.

An Event needs no server of the platform, so that a command is told of while Kafka is down. Kubernetes keeps it for an
hour; the audit log takes it from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from services.audit.records import UNKNOWN, Access, Outcome

REASON: Final = "OpsCommand"
"""Reason of the Events."""
COMPONENT: Final = "obs-ops"
"""Component that reports them."""
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_OUTCOMES: Final = {"started": Outcome.ALLOWED, "done": Outcome.ALLOWED, "failed": Outcome.FAILED}


class CommandEvent(BaseModel):
    """What is told of a command, twice: when it gets the platform's passwords, and at its end.

    Attributes:
        run: Of both of them.
        account: Name by which the API server knows the operator.
        user: User of the operating system.
        machine: Where.
        command: Words of the command.
        arguments: The others, without values that may be about people.
        state: Where it stands.
        code: Its exit code at the end.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: Short
    account: Short
    user: Short
    machine: Short
    command: Short
    arguments: Annotated[str, StringConstraints(max_length=600)] = ""
    state: Literal["started", "done", "failed"]
    code: int | None = None


def event(command: CommandEvent, namespace: str, now: datetime) -> dict[str, Any]:
    """The Event (core/v1), whose own name is unique."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "ops-command-", "namespace": namespace},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "audit", "namespace": namespace},
        "type": "Warning" if command.state == "failed" else "Normal",
        "reason": REASON,
        "action": command.state,
        "message": command.model_dump_json(exclude_none=True),
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingComponent": COMPONENT,
        "reportingInstance": command.machine,
    }


def access(item: Mapping[str, Any]) -> Access | None:
    """The access that an Event tells of; None where it is none of ours."""
    if item.get("reason") != REASON:
        return None
    try:
        command = CommandEvent.model_validate(json.loads(item["message"]))
        time = datetime.fromisoformat(item["eventTime"])
    except (ValueError, ValidationError, KeyError, TypeError):
        return None
    detail = {"run": command.run, "state": command.state, "user": command.user, "arguments": command.arguments}
    return Access(
        time=time,
        who=command.account,
        origin=command.machine or UNKNOWN,
        action=f"ops {command.command}",
        target="platform:passwords",
        outcome=_OUTCOMES[command.state],
        detail={**detail, **({} if command.code is None else {"code": str(command.code)})},
    )


_EVENT_KEY: Final = "event/"


def event_key(name: str) -> str:
    """Key of the position of an Event: who has it was written."""
    return f"{_EVENT_KEY}{name}"


def event_of(key: str) -> str:
    """Name of the Event of a position; empty where it is no Event's."""
    return key.removeprefix(_EVENT_KEY) if key.startswith(_EVENT_KEY) else ""
