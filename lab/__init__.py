"""The embedded cluster: a real Kubernetes node and its toolchain, from package registries alone.

Nothing under ``components/``, ``stacks/`` or ``policy/`` knows about this package. It exists so that a machine
with neither Docker nor a cluster can run the whole platform; where a cluster is already there, it is not used.
"""

from __future__ import annotations


class LabError(Exception):
    """Something the user can act on: a single clear line, printed without a traceback."""
