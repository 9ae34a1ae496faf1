"""What both regions have to agree on, as one digest for each kind: compared before an update and by the guards."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from components.dashboards import grafana as boards
from components.dashboards import lookups
from components.dashboards.boards import DASHBOARDS
from components.dashboards.sources import Plugins
from components.kafka.access import acl_rules
from stacks import rules
from stacks.kafka_users import own_users
from stacks.settings import Settings


def definitions(settings: Settings) -> dict[str, str]:
    """Kind -> digest. Sizes and addresses are each region's own and not part of it.

    * ``topics``: names, partitions, retention;
    * ``permissions``: users and what each may do, without the mirror's;
    * ``rules``: alerts and recordings of layers and platform, with the delays of the escalation;
    * ``notices``: who is told by which channel;
    * ``dashboards``: every board.
    """
    alerting = settings.alerting
    return {
        "topics": _digest({name: topic.model_dump() for name, topic in settings.topics.items()}),
        "permissions": _digest({user.name: [asdict(rule) for rule in acl_rules(user)] for user in own_users(settings)}),
        "rules": _digest([*(group.data("") for group in rules.FIXED), alerting.escalation.model_dump()]),
        "notices": _digest({name: contact.model_dump() for name, contact in alerting.contacts.items()}),
        "dashboards": _digest(
            {board.uid: boards.text(board, Plugins(logs="")) for board in DASHBOARDS} | lookups.texts(Plugins(logs=""))
        ),
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
