"""Backups made by jobs: PostgreSQL, Grafana's definitions, Kafka's metadata and the search cluster, and their restores.

Every object is encrypted on the way out with age for public keys of operators: who writes backups cannot read them.
"""
