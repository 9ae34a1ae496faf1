"""The backup exporter: polls the object storage and exports how old, large and whole they are.

It only reads, and cannot open anything: what it says comes from keys, sizes and manifests. A backup that is not in the
object storage was not made, whatever its job says.
"""
