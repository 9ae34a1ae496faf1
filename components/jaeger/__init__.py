"""Jaeger in production topology: collectors that write spans by class, queries behind a login."""
