"""Fake of Grafana 12.3 for the embedded cluster: its files, its HTTP contract, plain pages (docs/adr/0024)."""

VERSION = "12.3.1"
"""Version of Grafana whose contract this is."""
