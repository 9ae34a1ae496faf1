"""Who may do what on the platform, from what it is deployed with."""
