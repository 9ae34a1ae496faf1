"""A stack on a cluster of one's own, in one command."""
