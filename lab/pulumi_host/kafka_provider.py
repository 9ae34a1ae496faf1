"""Provider plugin for ``pulumi-kafka`` against real brokers: topics, ACLs and SCRAM users.

Configuring it never connects, so a preview works before the brokers exist. It is the lab's stand-in for the vendor's
plugin, which no package registry serves, and keeps to its ids and property names.
"""

from __future__ import annotations

import importlib.metadata
import threading

from lab.pulumi_host.kafka_access import Acl, UserScramCredential
from lab.pulumi_host.kafka_client import Brokers
from lab.pulumi_host.kafka_topics import Topic
from lab.pulumi_host.provider import Provider, run
from lab.pulumi_host.values import Properties


class KafkaProvider(Provider):
    """The handlers, on one shared connection."""

    def __init__(self, version: str, brokers: Brokers, stopping: threading.Event) -> None:
        """Serve the Kafka resources on ``brokers``."""
        super().__init__(version, [Topic(brokers), Acl(brokers), UserScramCredential(brokers)], stopping)
        self._brokers = brokers

    def configure(self, configuration: Properties) -> None:
        self._brokers.configure(configuration)


def main() -> None:
    """Run as ``pulumi-resource-kafka``."""
    stopping = threading.Event()
    run(KafkaProvider(importlib.metadata.version("pulumi-kafka"), Brokers(stopping), stopping), stopping)
