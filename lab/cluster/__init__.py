"""One real Kubernetes node in a network namespace of its own: etcd, control plane, containerd, kubelet, kube-proxy.

Everything that listens does so inside the namespace, so ports, addresses and firewall rules of two checkouts never
meet, and removing the namespace removes every rule with it. Root is needed for the namespace, the mounts, the control
groups and the container runtime; nothing on the host outside the state folder is changed.
"""
