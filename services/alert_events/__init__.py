"""Alerts and notifications into Kafka (requirement A3): each at least once, those of one alert in order.

Runs as ``python3 -m services.alert_events --config FILE``, once: order within an alert comes from the one producer.
"""
