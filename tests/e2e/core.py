"""What `make e2e`, and with it CI, looks at on the running cluster; everything else there is for `make drills`.

About twenty looks and drills, together no more than twelve minutes: each layer of the platform once, each kind of
refusal, and each fault by which acknowledged telemetry could be lost first. Each takes as long as it must: the
expected times are in ``tests/seconds.json``, and a test holds their sum against `LONGEST_S`.
"""

from __future__ import annotations

from collections.abc import Mapping

LONGEST_S = 720.0
"""Of all of them, one after the other."""

ALL = ("",)
CORE: Mapping[str, tuple[str, ...]] = {
    "test_pulumi": ("test_after_up_a_preview_finds_nothing_to_change",),
    "test_five_layers": ALL,
    "test_bad_input": ALL,
    "test_security": (
        "test_network_policies_admit_only_labelled_pods",
        "test_kafka_refuses_every_client_that_it_must",
        "test_no_secret_stands_in_state_configuration_logs_or_command_lines",
    ),
    "test_traces": (
        "test_one_trace_through_five_services_is_found_soon_after_its_end",
        "test_the_dependency_map_is_the_graph_of_the_services",
        "test_who_lacks_the_group_gets_no_confidential_trace_by_page_or_api",
    ),
    "test_logs": ("test_the_logs_of_a_trace_are_found_by_its_id", "test_every_layer_has_logs_of_the_last_minutes"),
    "test_masking": ALL,
    "test_grafana": (
        "test_each_role_may_what_it_may_and_no_more",
        "test_nobody_gets_in_without_a_group_or_with_a_wrong_password",
    ),
    "test_alert_latency": ("test_a_notification_arrives_in_time[few]",),
    "test_reports": ("test_each_report_is_made_stored_shown_and_mailed[yesterday]",),
    "test_backups": ("test_the_database_is_backed_up_and_restored_into_an_empty_one",),
    "test_dashboards": ("test_every_panel_of_every_dashboard_returns_data_in_time",),
    "test_verify": ALL,
    "test_faults": (
        "test_a_gateway_killed_under_load_loses_nothing",
        "test_a_consumer_killed_under_load_loses_nothing",
        "test_a_broker_killed_under_load_loses_nothing",
        "test_readers_never_notice_that_the_primary_is_down_and_it_catches_up",
    ),
}
"""File -> its tests that are of the core: the beginnings of their names."""


def is_core(file: str, test: str) -> bool:
    """Whether a test is one of them.

    Args:
        file: Name of its file, without ending.
        test: Its name, with parameters.
    """
    return any(test.startswith(name) for name in CORE.get(file, ()))
