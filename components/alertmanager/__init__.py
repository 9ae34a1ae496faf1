"""Alertmanager: from a firing alert to the people who have to know, by phone, SMS, Slack and mail."""
