"""Closes the pager's incidents of alerts that are silenced or inhibited (requirement A2, ADR 0013).

Runs beside each Alertmanager as ``python3 -m services.incident_closer --config FILE``.
"""
