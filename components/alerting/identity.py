"""The identity of an alert: one string, the same for an alert and for its escalated twin.

``KafkaBrokerDown/instance=kafka-1/job=kafka``: the name of the alert, then the labels of the series that fires, sorted
by name. What is not a letter, a digit or one of ``-_.~`` is escaped as in a URL's query, so that different alerts never
share an identity, and it is one plain word of a command line. The metric's name is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus

ID_LABEL = "alert_id"
"""Label with the identity. A silence on it acknowledges the alert at every level of its escalation."""

_METRIC = "__name__"


def id_template(name: str) -> str:
    """Value of the label in a rule, for Prometheus to fill in: its templates range over labels in order of names.

    Args:
        name: Name of the alert, for an escalated one the original's.
    """
    label = "/{{ $k | urlquery }}={{ $v | urlquery }}"
    return f'{name}{{{{ range $k, $v := $labels }}}}{{{{ if ne $k "{_METRIC}" }}}}{label}{{{{ end }}}}{{{{ end }}}}'


def alert_id(name: str, labels: Mapping[str, str]) -> str:
    """The string that Prometheus makes of ``id_template``.

    Args:
        name: Name of the alert, for an escalated one the original's.
        labels: Labels of the series that fires, without what the rule adds.
    """
    parts = (
        f"/{quote_plus(key)}={quote_plus(labels[key])}" for key in sorted(labels) if key != _METRIC and labels[key]
    )
    return name + "".join(parts)
