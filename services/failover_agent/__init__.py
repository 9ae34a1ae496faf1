"""The failover agent: Alertmanager notifies about telemetry's alerts only while the region holds the lease.

It follows the lease in the witness bucket and never writes it. When it is not there itself, what it made last stays.
"""
