"""The failover agent: makes Alertmanager notify only where the lease says so (requirements D2, D3)."""
