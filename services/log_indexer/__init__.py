"""Logs from Kafka into the search cluster, each once, none lost.

Runs as ``python3 -m services.log_indexer --config FILE``; several of them share the topic's partitions.
"""
