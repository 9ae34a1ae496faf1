"""``obs preflight``: whether a cluster has what the platform needs, before anything is changed."""
