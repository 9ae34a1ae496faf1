"""Every rule of the pack: one module per concern, each with its ``RULES``."""

from __future__ import annotations

import importlib
import pkgutil

from policy.model import Rule


def _found() -> tuple[Rule, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    rules = [rule for name in names for rule in importlib.import_module(f"{__name__}.{name}").RULES]
    twice = sorted({rule.id for rule in rules if sum(other.id == rule.id for other in rules) > 1})
    if twice:
        raise ValueError(f"rule ids must differ; more than once: {', '.join(twice)}")
    return tuple(rules)


RULES: tuple[Rule, ...] = _found()
"""Rules of every concern, ordered by module."""


def concern(rule: Rule) -> str:
    """Name of the module that a rule comes from."""
    check = rule.resource or rule.stack
    assert check is not None
    return str(getattr(check, "__module__", "")).rsplit(".", 1)[-1]
