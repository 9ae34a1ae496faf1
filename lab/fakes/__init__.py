"""Stand-ins for what cannot run here: Grafana, the identity provider, pager, SMS, Slack and mail."""
