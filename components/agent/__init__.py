"""Node agents: the nearest place to send telemetry to."""
