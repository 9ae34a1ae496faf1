"""Small programs of ours that run in the cluster as workloads; each depends on nothing but its own libraries."""
