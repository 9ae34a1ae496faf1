"""Backups made by jobs: PostgreSQL, Grafana's definitions, Kafka's metadata and the search cluster, and their restores.

Every object is encrypted on the way out with age for public keys of operators: who writes backups cannot read them.
"""

from __future__ import annotations

WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between tries to reach a server: the network lets a pod out some seconds after the pod began, and whatever
takes over from a server that failed needs about as long."""


class BackupError(Exception):
    """It could not be made, stored, read or restored; the message has no credentials."""


def one_line(error: object, most: int = 300) -> str:
    """The text of an error in one line of at most ``most`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 3] + "..."
