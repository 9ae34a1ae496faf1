"""Prometheus exporter for what the brokers know and no consumer can tell: group lag, and the health of replicas.

Runs as ``python3 -m services.kafka_lag --config FILE``. It only reads: its Kafka user needs Describe on
topics and groups, and on the cluster where groups are chosen by a regular expression.
"""
