"""The telemetry hub: brokers, topics, users and access rules."""
