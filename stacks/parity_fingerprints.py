"""What both regions have to agree on, as one digest for each kind: compared before updates and by failover agents."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from components.dashboards import drilldowns
from components.dashboards import grafana as dashboard_json
from components.dashboards.registry import DASHBOARDS
from components.dashboards.sources import Plugins
from components.kafka.access import acl_rules
from stacks import rules
from stacks.kafka_users import own_users
from stacks.settings import Settings


def parity_fingerprints(settings: Settings) -> dict[str, str]:
    """Kind -> digest. Sizes and addresses are each region's own and not part of it.

    * ``topics``: names, partitions, retention;
    * ``permissions``: users and what each may do, without the mirror's;
    * ``rules``: alerts and recordings of layers and platform, with the delays of the escalation;
    * ``notifications``: who is notified by which channel;
    * ``dashboards``: every dashboard.
    """
    alerting = settings.alerting
    return {
        "topics": _digest({name: topic.model_dump() for name, topic in settings.topics.items()}),
        "permissions": _digest({user.name: [asdict(rule) for rule in acl_rules(user)] for user in own_users(settings)}),
        "rules": _digest([*(group.data("") for group in rules.FIXED), alerting.escalation.model_dump()]),
        "notifications": _digest({name: contact.model_dump() for name, contact in alerting.contacts.items()}),
        "dashboards": _digest(
            {dashboard.uid: dashboard_json.text(dashboard, Plugins(logs="")) for dashboard in DASHBOARDS}
            | drilldowns.texts(Plugins(logs=""))
        ),
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
