"""Changes that nobody should merge, made to the real program: ``BAD_CHANGES=<name>,<name> python bad_changes.py``.

The engine runs this file as the program of a stack: it spoils functions of the platform, then runs the program.
``BAD_CHANGES_IN`` says how much of it: ``platform``, ``kafka`` (of the platform, Kafka), or ``nothing``, so that only
workloads which a change adds are there.
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.kafka import access
from components.kafka import config as kafka_config
from stacks import sizing
from tests.support import garbage, pending

CHECKOUT = Path(__file__).resolve().parents[2]


def _spoil_properties(**changes: str) -> None:
    honest = kafka_config.server_properties

    def spoiled(*args: Any) -> dict[str, str]:
        return {**honest(*args), **{key.replace("__", "."): value for key, value in changes.items()}}

    kafka_config.server_properties = spoiled


def _spoil_profiles(**changes: Any) -> None:
    sizing.PROFILES = MappingProxyType({name: replace(profile, **changes) for name, profile in sizing.PROFILES.items()})
    from stacks import platform

    platform.PROFILES = sizing.PROFILES


def listener_without_tls() -> None:
    """Clients talk to the brokers in clear text."""
    _spoil_properties(
        listener__security__protocol__map="CLIENT:SASL_PLAINTEXT,INTERNAL:SSL,EXTERNAL:SASL_SSL,CONTROLLER:SSL"
    )


def scram_dropped() -> None:
    """Passwords cross the wire."""
    _spoil_properties(listener__name__client__sasl__enabled__mechanisms="PLAIN")


def two_copies() -> None:
    """Replication factor 2."""
    _spoil_profiles(replication_factor=2)


def one_copy_acknowledges() -> None:
    """min.insync.replicas 1."""
    _spoil_profiles(min_insync_replicas=1)


def no_acls() -> None:
    """No ACL at all."""
    access.acl_rules = lambda _: []


def _extra(name: str, container: dict[str, Any], files: dict[str, str], service_type: str = "ClusterIP") -> None:
    labels = {"app.kubernetes.io/name": name}
    meta = {"name": name, "namespace": "obs", "labels": labels}
    k8s.core.v1.ConfigMap(name, metadata=meta, data=files)
    k8s.core.v1.Service(name, metadata=meta, spec={"type": service_type, "selector": labels, "ports": [{"port": 3000}]})
    pod = {"containers": [{"name": name, **container}], "volumes": [{"name": "c", "configMap": {"name": name}}]}
    k8s.apps.v1.StatefulSet(
        name,
        metadata=meta,
        spec={
            "serviceName": name,
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def gossip_without_tls() -> None:
    """Two Alertmanagers that gossip in clear text."""
    _extra(
        "alertmanager",
        {
            "image": "registry.example.com/observability/prom/alertmanager:v0.31.1",
            "args": ["--config.file=/etc/a/alertmanager.yml", "--cluster.peer=alertmanager-1:9094"],
        },
        {"alertmanager.yml": "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"},
    )


def grafana_in_clear() -> None:
    """Grafana for everybody, without TLS."""
    _extra(
        "grafana",
        {"image": "registry.example.com/observability/grafana/grafana:12.3.0", "ports": [{"containerPort": 3000}]},
        {"grafana.ini": "[server]\nprotocol = http\n"},
        service_type="LoadBalancer",
    )


BAD_CHANGES: dict[str, Callable[[], None]] = {
    change.__name__: change
    for change in (
        listener_without_tls,
        scram_dropped,
        two_copies,
        one_copy_acknowledges,
        no_acls,
        gossip_without_tls,
        grafana_in_clear,
    )
}


def platform() -> None:
    """The whole program."""
    runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")


def kafka() -> None:
    """The program up to Kafka, with the settings of the stack file."""
    from components.kafka.component import Kafka
    from stacks import platform as program
    from stacks import settings
    from stacks.endpoints import Endpoints, EndpointsArgs, PlatformInputs
    from stacks.scheduling import scaled

    chosen, role = settings.load(), settings.role()
    parent = pulumi.ComponentResource(
        program.TOKEN, chosen.platform, None, pulumi.ResourceOptions(providers=program.providers(chosen))
    )
    sizing = scaled(program.PROFILES[chosen.profile], chosen.autoscaling)
    context = program.deployment_context(parent, chosen, role)
    parts = {"settings": chosen, "role": role, "sizing": sizing, "context": context}
    endpoints = Endpoints("endpoints", EndpointsArgs(**parts), pulumi.ResourceOptions(parent=parent))
    inputs = PlatformInputs(**parts, endpoints=endpoints)
    Kafka("kafka", program._kafka(inputs), pulumi.ResourceOptions(parent=parent))


PROGRAMS: dict[str, Callable[[], None]] = {"platform": platform, "kafka": kafka, "nothing": lambda: None}

if __name__ == "__main__" and pulumi.runtime.is_dry_run():
    for chosen in filter(None, os.environ.get("BAD_CHANGES", "").split(",")):
        BAD_CHANGES[chosen]()
    pending.apply()
    garbage.collect_seldom()
    PROGRAMS[os.environ["BAD_CHANGES_IN"]]()
