"""Reports in the cluster: the three jobs that make them, and the shelf that shows what is stored (requirement R1)."""
