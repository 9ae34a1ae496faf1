"""All rules, in the order in which they are applied."""

from __future__ import annotations

from components.masking.credentials import CREDENTIAL_RULES
from components.masking.model import CheckedNumber, Rule
from components.masking.numbers import CHECKED_NUMBERS as CHECKED
from components.masking.numbers import NUMBER_RULES
from components.masking.pii_names_addresses import NAME_AND_ADDRESS_RULES

RULES: tuple[Rule, ...] = (*CREDENTIAL_RULES, *NAME_AND_ADDRESS_RULES, *NUMBER_RULES)
CHECKED_NUMBERS: tuple[CheckedNumber, ...] = CHECKED

EVERY: tuple[Rule | CheckedNumber, ...] = (*RULES, *CHECKED_NUMBERS)
