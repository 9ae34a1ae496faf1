"""The access matrix of a stack file: ``python -m tests.support.access > docs/access.md``."""

from __future__ import annotations

import functools

from ops.permissions.matrix import matrix
from ops.permissions.model import Matrix
from policy.model import Resource
from tests.support import access_page
from tests.support.engine import recorded


@functools.cache
def rendered(stack: str) -> tuple[Resource, ...]:
    """What a stack file renders, as an exported state with its secrets has it."""
    recording = recorded(stack)
    # An update knows the namespace; what is only read is not the program's.
    return tuple(
        Resource(resource.token, resource.name, resource.inputs)
        for resource in recording.resources
        if not resource.read
    )


@functools.cache
def matrix_of(stack: str) -> Matrix:
    """The matrix of a stack file."""
    return matrix(rendered(stack))


if __name__ == "__main__":
    print(access_page.text(matrix_of("prod")), end="")
