"""What Kubernetes knows of the platform: pods, nodes, jobs, autoscalers (requirements G4, S1)."""
