"""Parts that every OpenTelemetry Collector of the platform shares: TLS, Kafka client, own metrics. Pure data."""
