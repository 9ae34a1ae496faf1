"""The audit log (requirement M1): who reached for what, from where, and whether it was let in.

Runs as ``python3 -m services.audit --config FILE``, once: it follows what servers log and what operators do, and writes
each access to a topic of its own, chained by hashes (ADR 49).
"""
