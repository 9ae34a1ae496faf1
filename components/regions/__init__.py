"""The region guard: makes Alertmanager tell people only where the lease says so (requirements D2, D3)."""
