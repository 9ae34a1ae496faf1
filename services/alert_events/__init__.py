"""Alerts and notifications into Kafka (requirement A3): each at least once, those of one alert in order.

Runs as ``python3 -m services.alert_events --config FILE``, once: order within an alert comes from the one producer.
"""

from __future__ import annotations

from pydantic import model_validator

from services.runtime.settings import File, Login, ServerSettings, SettingsModel, Text, broken_rule


class Kafka(SettingsModel):
    """The brokers, and who this program is there."""

    bootstrap: Text
    ca_file: File
    user: Text
    password_file: File


class Topics(SettingsModel):
    """Where events go.

    Attributes:
        raw: Topic of alerts as Prometheus raised them.
        processed: Topic of notifications as Alertmanager sent them.
    """

    raw: Text
    processed: Text

    @model_validator(mode="after")
    def _two(self) -> Topics:
        if self.raw == self.processed:
            raise broken_rule(f"topics.raw and topics.processed are both {self.raw!r}; they must be two topics")
        return self


class AlertEventsSettings(ServerSettings):
    """Where events come from and where they go.

    Attributes:
        prometheus: May post alerts.
        alertmanager: May post notifications.
    """

    kafka: Kafka
    topics: Topics
    prometheus: Login
    alertmanager: Login

    @property
    def topic_names(self) -> tuple[str, ...]:
        """Both topics."""
        return self.topics.raw, self.topics.processed
