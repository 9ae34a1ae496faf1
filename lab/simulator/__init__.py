"""Simulates the observed system: devices and the services of the other layers, sending real OTLP to the gateway."""
