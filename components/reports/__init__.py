"""Reports in the cluster: the three jobs that make them, and the server that shows them (requirement R1)."""
