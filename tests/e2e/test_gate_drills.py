"""The live platform against attacks, forgeries and foreign logins, and the erasure of a person whose ids it hashed."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("gate-attacks")
def test_attacks_are_refused_and_another_layer_does_not_feel_them(settled: Context) -> None:
    assert problems("gate-attacks", settled) == []


@limit("fairness")
def test_a_layer_beyond_its_share_costs_another_no_refusal(settled: Context) -> None:
    assert problems("fairness", settled) == []


@limit("autoscale")
def test_a_gateway_is_added_under_load_and_goes_again_without_loss(settled: Context) -> None:
    assert problems("autoscale", settled) == []


@limit("quota")
def test_a_login_of_kafka_beyond_its_quota_delays_no_other(settled: Context) -> None:
    assert problems("quota", settled) == []


@limit("gate-forgery")
def test_no_reserved_name_can_be_forged(settled: Context) -> None:
    assert problems("gate-forgery", settled) == []


@limit("audit")
def test_accesses_are_in_the_audit_log_within_a_minute(settled: Context) -> None:
    assert problems("audit", settled) == []


@limit("erasure")
def test_a_person_is_erased_and_another_one_is_not(settled: Context) -> None:
    assert problems("erasure", settled) == []


@limit("access")
def test_no_login_is_let_in_where_it_does_not_belong(settled: Context) -> None:
    assert problems("access", settled) == []
