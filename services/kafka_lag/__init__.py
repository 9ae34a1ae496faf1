"""Prometheus exporter for what the brokers know and no consumer can tell: group lag, and the health of replicas.

Runs as ``python3 -m services.kafka_lag --config FILE``. It only reads: its Kafka user needs Describe on
topics and groups, and on the cluster where groups are chosen by a regular expression.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, RootModel

from services.runtime.settings import File, ServerSettings, Text, not_allowed, number


def _names(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise not_allowed("a list of names or a regular expression")
    try:
        re.compile(value)
    except re.error as error:
        raise not_allowed(f"a list of names or a regular expression, and this is none: {error}") from None
    return value


def _bootstrap(value: Any) -> str:
    servers = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(servers, list)
        or not servers
        or not all(isinstance(item, str) and ":" in item for item in servers)
    ):
        raise not_allowed('"host:port", several with commas or as a list')
    return ",".join(item.strip() for item in servers)


class Selection(RootModel[Annotated[tuple[str, ...] | str, BeforeValidator(_names)]]):
    """Which names to report: exactly the listed ones, or all that a regular expression matches as a whole."""

    model_config = ConfigDict(frozen=True)

    @property
    def names(self) -> frozenset[str] | None:
        """The listed ones; None where a regular expression chooses."""
        return None if isinstance(self.root, str) else frozenset(self.root)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.root if isinstance(self.root, str) else "|".join(map(re.escape, self.root)))

    def __contains__(self, name: str) -> bool:
        """Tell whether ``name`` is to be reported."""
        return self._pattern.fullmatch(name) is not None


class KafkaLagSettings(ServerSettings):
    """How to reach the brokers, what to report, and how to serve it.

    Attributes:
        bootstrap: ``host:port`` of brokers, separated by commas.
        groups: Consumer groups to report.
        topics: Topics to report.
        interval_s: Seconds between polls.
    """

    bootstrap: Annotated[str, BeforeValidator(_bootstrap)]
    ca_file: File
    username: Text
    password_file: File
    groups: Selection
    topics: Selection
    interval_s: Annotated[int | float, number(1, 300, "seconds")]
