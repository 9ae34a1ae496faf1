"""The rules about certificates follow from when certificates are renewed."""

from __future__ import annotations

import pytest

from components.probes.rules import probe_rules
from components.rules import Alert


def _alerts(renew_before: str) -> dict[str, Alert]:
    return {alert.name: alert for group in probe_rules(renew_before) for alert in group.alerts}


@pytest.mark.parametrize(
    ("renew_before", "soon", "at_once"), [("720h", 15 * 86400, 3 * 86400), ("8h", 4 * 3600, 2880), ("10m", 300, 60)]
)
def test_half_and_a_tenth_of_the_time_are_left(renew_before: str, soon: int, at_once: int) -> None:
    alerts = _alerts(renew_before)
    assert alerts["CertificateExpiresSoon"].expr.endswith(f" < {soon}")
    left, _, looked_at = alerts["CertificateEnds"].expr.partition(" and on (endpoint, instance) ")
    assert left.endswith(f" < {at_once}")
    assert "probe_success" in looked_at


def test_the_description_says_when_it_should_have_been_renewed() -> None:
    assert "renewed 30d before its end" in _alerts("720h")["CertificateExpiresSoon"].description


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="'a month' is no duration"):
        probe_rules("a month")
