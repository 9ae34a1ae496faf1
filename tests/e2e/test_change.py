"""A change by editing data (M4): a threshold changed in a scratch checkout, reviewed and previewed, not deployed."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("change")
def test_a_changed_threshold_is_reviewed_in_plain_words_and_previewed(context: Context) -> None:
    assert problems("change", context) == []
