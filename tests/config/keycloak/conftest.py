"""One Keycloak for the tests of this folder: its start takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.config.keycloak.harness import Harness, started


@pytest.fixture(scope="package")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """The running parts."""
    with started(tmp_path_factory.mktemp("keycloak")) as running_parts:
        yield running_parts
