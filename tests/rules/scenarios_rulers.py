"""Scenarios of the alerts about rulers."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_RULER = 'job="thanos-rule-primary",instance="thanos-rule-primary-0"'
_OTHER = 'job="thanos-rule-secondary",instance="thanos-rule-secondary-0"'
_LABELS = {"job": "thanos-rule-primary", "instance": "thanos-rule-primary-0"}
_FAILURES = f"prometheus_rule_evaluation_failures_total{{{_RULER}}}"
_WARNINGS = f'thanos_rule_evaluation_with_warnings_total{{{_RULER},strategy="warn"}}'
_AT = f'{{{_RULER},alertmanager="10.88.0.%s"}}'
_ONE, _TWO, _EVENTS = (_AT % address for address in ("4:9093", "5:9093", "6:8443"))
_SENT, _ERRORS = "thanos_alert_sender_alerts_sent_total", "thanos_alert_sender_errors_total"
_UNSENT = f"thanos_alert_sender_alerts_dropped_total{{{_RULER}}}"
_UNQUEUED = f"thanos_alert_queue_alerts_dropped_total{{{_RULER}}}"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="ThanosRulersDown",
        bad={f"up{{{_RULER}}}": "1x9 0x40", f"up{{{_OTHER}}}": "1x9 0x40"},
        # One of two is enough.
        good={f"up{{{_RULER}}}": "1x9 0x40", f"up{{{_OTHER}}}": "1x50"},
        silent_at="5m15s",
        firing_at="5m30s",
        labels={"job": "thanos-rule"},
    ),
    Scenario(
        alert="ThanosRulerFails",
        bad={_FAILURES: "0x9 0+1x40"},
        good={_FAILURES: "1x50"},
        silent_at="5m45s",
        firing_at="7m",
        labels=_LABELS,
    ),
    Scenario(
        alert="ThanosRulerReadsPart",
        bad={_WARNINGS: "0x9 0+1x60"},
        # The restart of a store: two minutes.
        good={_WARNINGS: "0x9 0+1x4 4x60"},
        silent_at="9m45s",
        firing_at="11m",
        labels=_LABELS,
    ),
    Scenario(
        alert="ThanosRulerCannotNotify",
        bad={_UNSENT: "0x9 0+5x40", _UNQUEUED: "0x50"},
        good={_UNSENT: "5x50", _UNQUEUED: "1x50"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels=_LABELS,
    ),
    Scenario(
        alert="ThanosRulerCannotNotify",
        bad={_UNSENT: "0x50", _UNQUEUED: "0x9 0+5x40"},
        good={_UNSENT: "0x50", _UNQUEUED: "5x50"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels=_LABELS,
    ),
    # The service of alert events takes them, so none is dropped; but it notifies nobody.
    Scenario(
        alert="ThanosRulerCannotNotify",
        bad={
            _UNSENT: "0x50",
            _UNQUEUED: "0x50",
            _SENT + _EVENTS: "0+5x50",
            _SENT + _ONE: "0+5x9 45x40",
            _ERRORS + _ONE: "0x9 0+1x40",
            _ERRORS + _TWO: "0+1x50",
        },
        good={
            _UNSENT: "0x50",
            _UNQUEUED: "0x50",
            _SENT + _ONE: "0+5x50",
            _ERRORS + _TWO: "0+1x50",
            _ERRORS + _EVENTS: "0+1x50",
        },
        silent_at="6m15s",
        firing_at="8m",
        labels=_LABELS,
    ),
    # An Alertmanager that never took any before, and takes them while the other one refuses them.
    Scenario(
        alert="ThanosRulerCannotNotify",
        bad={f"up{{{_RULER}}}": "1x50", _ERRORS + _ONE: "0x9 0+1x40"},
        good={f"up{{{_RULER}}}": "1x50", _ERRORS + _ONE: "0x9 0+1x4 4x36", _SENT + _TWO: "_x10 1x40"},
        silent_at="5m15s",
        firing_at="6m30s",
        labels=_LABELS,
    ),
)
