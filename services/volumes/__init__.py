"""How full volumes really are: what kubelets measure of those of the platform's pods, as metrics."""
