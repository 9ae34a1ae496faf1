"""Gateway: the one door through which telemetry enters the platform."""
