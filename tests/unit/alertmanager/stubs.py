"""Alertmanager on the recording engine, without the rest of the platform."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pulumi

from components.alertmanager.component import (
    WORKLOAD,
    Alertmanager,
    AlertmanagerArgs,
    alertmanager_endpoint,
    alertmanager_receiver,
)
from components.alertmanager.config import CLOSER, CLOSER_PORT, CLOSER_PORT_NAME, WEB_PORT
from components.alertmanager.receivers import FIRST, Channels, Contact
from components.contracts import AlertEventsEndpoint, Credential
from components.k8s import LoadBalancerOptions, Resources
from components.rules import Inhibition, Severity
from tests.support import engine
from tests.support.deployment_context import deployment_context, metrics

AUTHORITY = "-----BEGIN CERTIFICATE-----\nreceivers\n-----END CERTIFICATE-----\n"
SECRETS: dict[str, Any] = {
    "phone_keys": {FIRST: "o" * 32, "senior-manager": "s" * 32, "on-call-engineer": "e" * 32},
    "slack_urls": {FIRST: "https://hooks.example.org/services/T1/B1/slack-secret"},
    "mail_password": "mail-secret",
    "sms_access_key_id": "AKIAsecret",
    "sms_secret_access_key": "sms-secret",
    "heartbeat_url": "https://switch.example.org/heartbeat-secret",
    "authority": AUTHORITY,
}
ESCALATION = {
    Severity.CRITICAL: "senior-manager",
    Severity.HIGH: "on-call-engineer",
    Severity.MEDIUM: "team-leader",
}
CONTACTS = {
    FIRST: Contact(
        mail="operators@example.org",
        phone=True,
        sms_topic="arn:aws:sns:ap-northeast-1:000000000000:operators",
        slack=True,
    ),
    "senior-manager": Contact(mail="senior@example.org", phone=True),
    "on-call-engineer": Contact(phone=True),
    "team-leader": Contact(mail="leader@example.org"),
}
CONTEXT = deployment_context()
INHIBITION = Inhibition(
    source=("Down", "Gone"), targets=("Slow", "SlowEscalated"), equal=("job",), reason="cause known"
)


def channels(**contacts: Contact) -> Channels:
    """Channels to some contacts, by default all of them."""
    return Channels(
        contacts=contacts or CONTACTS,
        phone_url="https://pager.example.org/v2/enqueue",
        sms_region="ap-northeast-1",
        sms_url=None,
        mail_server="smtp.example.org:587",
        mail_sender="alerts@example.org",
        mail_user="alerts",
    )


def events() -> AlertEventsEndpoint:
    """The alert event service."""
    password = pulumi.Output.secret("password-of-events")
    return AlertEventsEndpoint(
        url="https://alert-events.ns.svc.cluster.local:8443/processed",
        server_name="alert-events.ns.svc.cluster.local",
        workload="alert-events",
        port=8443,
        credential=Credential(username="alertmanager", password=password, bcrypt=password),
        access_label="obs.access/alert-events",
    )


def arguments(members: int = 2, **changes: Any) -> AlertmanagerArgs:
    """Arguments of a component."""
    owner = pulumi.ComponentResource("obs:test:Endpoints", "endpoints")
    outside: dict[str, Any] = {"address": "198.18.0.26", "hosts": ["198.18.0.26", "alerts.example.org"]}
    return AlertmanagerArgs(
        **{
            "context": CONTEXT,
            "endpoint": alertmanager_endpoint(owner, CONTEXT, replicas=members, **outside),
            "receiver": alertmanager_receiver(owner, CONTEXT),
            "scrape": metrics(CONTEXT, WORKLOAD, WEB_PORT),
            "closer_scrape": metrics(CONTEXT, WORKLOAD, CLOSER_PORT, job=CLOSER, port_name=CLOSER_PORT_NAME),
            "resources": Resources(cpu="50m", memory="64Mi", memory_limit="128Mi"),
            "closer": Resources(cpu="10m", memory="32Mi", memory_limit="64Mi"),
            "storage": "1Gi",
            "channels": channels(),
            "secrets": SECRETS,
            "events": events(),
            "escalation": ESCALATION,
            "inhibitions": (INHIBITION,),
            "networks": ["203.0.113.0/24", "198.51.100.7/32"],
            "ports": [443, 587],
            "client_cidrs": ["198.18.0.0/24"],
            "load_balancer": LoadBalancerOptions(),
            **outside,
            **changes,
        }
    )


@dataclass
class Made:
    """The component, and what it registered."""

    recording: engine.Recording
    component: Alertmanager


def make(**changes: Any) -> Made:
    """Make it."""
    recording = engine.Recording()
    alertmanagers: list[Alertmanager] = []

    def program() -> None:
        alertmanagers.append(Alertmanager("alertmanager", arguments(**changes)))

    engine.run(recording, "local", program)
    return Made(recording, alertmanagers[0])


@functools.cache
def default_build() -> Made:
    """The usual one, once; do not change it."""
    return make()
