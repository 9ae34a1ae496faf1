"""Every section and setting that Grafana 12.3 knows, with the type that it reads each one as.

The real Grafana takes no notice of a name that it does not know, and reads a value of the wrong type as its default. A
mistyped setting would then protect nothing, and nobody would be notified. So the fake is stricter on purpose: it
refuses to start, with one line that names section and key.

Where from: names and types as facts from Grafana's public documentation of its configuration and from sample files of
late releases 12; no text of it. The file of 12.3.1 itself and its image could not be had. Beyond those samples:
``preinstall_async`` (read by 12) and ``enabled`` of ``cloud_migration`` (later releases; in 12 the feature
``onPremToCloudMigrations``). When the version in ``components/versions.py`` changes, compare this with
``/usr/share/grafana/conf/defaults.ini`` of the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

_OAUTH: Final = (
    "name icon enabled:bool allow_sign_up:bool auto_login:bool client_id client_secret scopes auth_url token_url "
    "api_url signout_redirect_url allowed_domains allowed_groups allowed_organizations role_attribute_path "
    "role_attribute_strict:bool org_attribute_path org_mapping allow_assign_grafana_admin:bool "
    "skip_org_role_sync:bool tls_skip_verify_insecure:bool tls_client_cert tls_client_key tls_client_ca use_pkce:bool "
    "use_refresh_token:bool "
)
_EVERY: Final = "*"
"""Stands for names that people choose."""
_SECTIONS: Final[Mapping[str, str]] = {
    "": "app_mode instance_name force_migration:bool target",
    "paths": "data temp_data_lifetime:duration logs plugins provisioning permitted_provisioning_paths",
    "server": (
        "protocol min_tls_version http_addr http_port:int domain enforce_domain:bool root_url serve_from_sub_path:bool "
        "router_logging:bool static_root_path enable_gzip:bool cert_file cert_key cert_pass "
        "certs_watch_interval:duration socket_gid:int socket_mode socket cdn_url read_timeout:duration"
    ),
    "server.custom_response_headers": _EVERY,
    "grpc_server": "network address use_tls:bool cert_file key_file max_recv_msg_size:int max_send_msg_size:int",
    "database": (
        "type host name user password url high_availability:bool max_idle_conn:int max_open_conn:int "
        "conn_max_lifetime:int log_queries:bool ssl_mode ssl_sni isolation_level ca_cert_path client_key_path "
        "client_cert_path server_cert_name path cache_mode wal:bool migration_locking:bool "
        "locking_attempt_timeout_sec:int query_retries:int transaction_retries:int instrument_queries:bool "
        "delete_auto_gen_ids:bool skip_dashboard_uid_migration_on_startup:bool"
    ),
    "remote_cache": "type connstr prefix encryption:bool",
    "dataproxy": (
        "logging:bool timeout:int dialTimeout:int keep_alive_seconds:int tls_handshake_timeout_seconds:int "
        "expect_continue_timeout_seconds:int max_conns_per_host:int max_idle_connections:int "
        "idle_conn_timeout_seconds:int send_user_header:bool response_limit:int row_limit:int user_agent"
    ),
    "analytics": (
        "enabled:bool reporting_enabled:bool reporting_distributor check_for_updates:bool "
        "check_for_plugin_updates:bool google_analytics_ua_id google_analytics_4_id "
        "google_analytics_4_send_manual_page_views:bool google_tag_manager_id rudderstack_write_key "
        "rudderstack_data_plane_url rudderstack_sdk_url rudderstack_v3_sdk_url rudderstack_config_url "
        "rudderstack_integrations_url intercom_secret application_insights_connection_string "
        "application_insights_endpoint_url application_insights_auto_route_tracking:bool feedback_links_enabled:bool "
        "reporting_static_context browser_console_reporter:bool"
    ),
    "security": (
        "disable_initial_admin_creation:bool admin_user admin_password admin_email secret_key encryption_provider "
        "available_encryption_providers disable_gravatar:bool data_source_proxy_whitelist "
        "disable_brute_force_login_protection:bool brute_force_login_protection_max_attempts:int "
        "disable_username_login_protection:bool disable_ip_address_login_protection:bool cookie_secure:bool "
        "cookie_samesite allow_embedding:bool strict_transport_security:bool "
        "strict_transport_security_max_age_seconds:int strict_transport_security_preload:bool "
        "strict_transport_security_subdomains:bool x_content_type_options:bool x_xss_protection:bool "
        "content_security_policy:bool content_security_policy_template content_security_policy_report_only:bool "
        "content_security_policy_report_only_template csrf_trusted_origins csrf_additional_headers "
        "csrf_always_check:bool enable_frontend_sandbox_for_plugins actions_allow_post_url"
    ),
    "security.encryption": "data_keys_cache_ttl:duration data_keys_cache_cleanup_interval:duration",
    "security.egress": "host_deny_list host_allow_list header_drop_list cookie_drop_list",
    "snapshots": (
        "enabled:bool external_enabled:bool external_snapshot_url external_snapshot_name public_mode:bool "
        "snapshot_remove_expired:bool"
    ),
    "dashboards": "versions_to_keep:int min_refresh_interval:duration default_home_dashboard_path",
    "dashboard_cleanup": "interval:duration batch_size:int",
    "datasources": (
        "datasource_limit:int concurrent_query_count:int default_manage_alerts_ui_toggle:bool "
        "default_allow_recording_rules_target_alerts_ui_toggle:bool"
    ),
    "sql_datasources": "max_open_conns_default:int max_idle_conns_default:int max_conn_lifetime_default:int",
    "users": (
        "allow_sign_up:bool allow_org_create:bool auto_assign_org:bool auto_assign_org_id:int auto_assign_org_role "
        "verify_email_enabled:bool login_default_org_id:int login_hint password_hint default_theme default_language "
        "home_page external_manage_link_url external_manage_link_name external_manage_info viewers_can_edit:bool "
        "editors_can_admin:bool user_invite_max_lifetime_duration:duration "
        "verification_email_max_lifetime_duration:duration last_seen_update_interval:duration hidden_users"
    ),
    "secretscan": "enabled:bool interval:duration base_url oncall_url revoke:bool",
    "service_accounts": "token_expiration_day_limit:int",
    "auth": (
        "login_cookie_name disable_login:bool login_maximum_inactive_lifetime_duration:duration "
        "login_maximum_lifetime_duration:duration token_rotation_interval_minutes:int disable_login_form:bool "
        "disable_signout_menu:bool signout_redirect_url oauth_auto_login:bool oauth_login_error_message "
        "oauth_state_cookie_max_age:int oauth_refresh_token_server_lock_min_wait_ms:int "
        "oauth_allow_insecure_email_lookup:bool api_key_max_seconds_to_live:int sigv4_auth_enabled:bool "
        "sigv4_verbose_logging:bool azure_auth_enabled:bool id_response_header_enabled:bool "
        "id_response_header_prefix id_response_header_namespaces managed_service_accounts_enabled:bool"
    ),
    "sso_settings": "reload_interval:duration configurable_providers",
    "auth.anonymous": "enabled:bool org_name org_role hide_version:bool device_limit:int",
    "auth.github": _OAUTH + "team_ids",
    "auth.gitlab": _OAUTH,
    "auth.google": _OAUTH + "validate_hd:bool hosted_domain",
    "auth.grafana_com": _OAUTH,
    "auth.grafananet": _OAUTH,
    "auth.azuread": (
        _OAUTH + "workload_identity_token_file client_authentication managed_identity_client_id "
        "federated_credential_audience force_use_graph_api:bool domain_hint login_prompt"
    ),
    "auth.okta": _OAUTH + "login_prompt",
    "auth.generic_oauth": (
        _OAUTH + "empty_scopes:bool email_attribute_name email_attribute_path login_attribute_path "
        "name_attribute_path groups_attribute_path id_token_attribute_name team_ids_attribute_path teams_url team_ids "
        "auth_style login_prompt validate_id_token:bool jwk_set_url"
    ),
    "auth.basic": "enabled:bool password_policy:bool",
    "auth.proxy": (
        "enabled:bool header_name header_property auto_sign_up:bool sync_ttl:int whitelist headers "
        "headers_encoded:bool enable_login_token:bool"
    ),
    "auth.jwt": (
        "enabled:bool enable_login_token:bool header_name email_claim username_claim email_attribute_path "
        "username_attribute_path jwk_set_url jwk_set_bearer_token_file jwk_set_file cache_ttl:duration expect_claims "
        "key_file key_id role_attribute_path role_attribute_strict:bool org_attribute_path org_mapping "
        "groups_attribute_path auto_sign_up:bool url_login:bool allow_assign_grafana_admin:bool "
        "skip_org_role_sync:bool signout_redirect_url tls_client_ca tls_skip_verify_insecure:bool"
    ),
    "auth.ldap": (
        "enabled:bool config_file allow_sign_up:bool skip_org_role_sync:bool sync_cron active_sync_enabled:bool"
    ),
    "auth.extended_jwt": "enabled:bool jwks_url cache_ttl:duration",
    "auth.passwordless": "enabled:bool code_expiration:duration",
    "auth.scim": "user_sync_enabled:bool group_sync_enabled:bool reject_non_provisioned_users:bool",
    "aws": (
        "allowed_auth_providers assume_role_enabled:bool list_metrics_page_limit:int external_id "
        "session_duration:duration forward_settings_to_plugins per_datasource_http_proxy_enabled:bool"
    ),
    "azure": (
        "cloud clouds_config managed_identity_enabled:bool managed_identity_client_id workload_identity_enabled:bool "
        "workload_identity_tenant_id workload_identity_client_id workload_identity_token_file "
        "user_identity_enabled:bool user_identity_fallback_credentials_enabled:bool user_identity_token_url "
        "user_identity_client_authentication user_identity_client_id user_identity_client_secret "
        "user_identity_managed_identity_client_id user_identity_federated_credential_audience username_assertion "
        "forward_settings_to_plugins azure_entra_password_credentials_enabled:bool"
    ),
    "rbac": "permission_cache:bool reset_basic_roles:bool permission_validation_enabled:bool permissions_on_creation "
    "permissions_wildcard_seed single_organization:bool only_store_access_actions:bool",
    "smtp": (
        "enabled:bool host user password cert_file key_file skip_verify:bool from_address from_name ehlo_identity "
        "startTLS_policy enable_tracing:bool"
    ),
    "smtp.static_headers": _EVERY,
    "emails": "welcome_email_on_sign_up:bool templates_pattern content_types",
    "log": "mode level filters user_facing_default_error",
    "log.console": "level format",
    "log.file": ("level format log_rotate:bool max_lines:int max_size_shift:int daily_rotate:bool max_days:int"),
    "log.syslog": "level format network address facility tag",
    "log.frontend": (
        "enabled:bool custom_endpoint sample_rate log_endpoint_requests_per_second_limit:int "
        "log_endpoint_burst_limit:int instrumentations_all_enabled:bool instrumentations_errors_enabled:bool "
        "instrumentations_console_enabled:bool instrumentations_webvitals_enabled:bool "
        "instrumentations_tracing_enabled:bool internal_logger_level:int bot_filter_enabled:bool api_key"
    ),
    "quota": (
        "enabled:bool org_user:int org_dashboard:int org_data_source:int org_api_key:int org_alert_rule:int "
        "user_org:int global_user:int global_org:int global_dashboard:int global_api_key:int global_session:int "
        "global_alert_rule:int global_file:int global_correlations:int alerting_rule_group_rules:int "
        "alerting_rule_evaluation_results:int"
    ),
    "unified_alerting": (
        "enabled:bool disabled_orgs initialization_timeout:duration admin_config_poll_interval:duration "
        "alertmanager_config_poll_interval:duration alertmanager_max_silences_count:int "
        "alertmanager_max_silence_size_bytes:int alertmanager_max_template_output_bytes:int ha_redis_address "
        "ha_redis_cluster_mode_enabled:bool ha_redis_sentinel_mode_enabled:bool ha_redis_sentinel_master_name "
        "ha_redis_username ha_redis_password ha_redis_sentinel_username ha_redis_sentinel_password ha_redis_db:int "
        "ha_redis_prefix ha_redis_peer_name ha_redis_max_conns:int ha_redis_tls_enabled:bool ha_redis_tls_cert_path "
        "ha_redis_tls_key_path ha_redis_tls_ca_path ha_redis_tls_server_name "
        "ha_redis_tls_insecure_skip_verify:bool ha_redis_tls_cipher_suites ha_redis_tls_min_version "
        "ha_listen_address ha_advertise_address ha_peers ha_peer_timeout:duration ha_label "
        "ha_gossip_interval:duration ha_reconnect_timeout:duration ha_push_pull_interval:duration "
        "ha_single_node_evaluation:bool execute_alerts:bool evaluation_timeout:duration max_attempts:int "
        "initial_retry_delay:duration max_retry_delay:duration randomization_factor min_interval:duration "
        "default_rule_evaluation_interval:duration max_state_save_concurrency:int "
        "state_periodic_save_interval:duration state_periodic_save_batch_size:int "
        "state_periodic_save_jitter_enabled:bool disable_jitter:bool notification_log_retention:duration "
        "resolved_alert_retention:duration rule_version_record_limit:int deleted_rule_retention:duration"
    ),
    "unified_alerting.screenshots": (
        "capture:bool capture_timeout:duration max_concurrent_screenshots:int upload_external_image_storage:bool"
    ),
    "unified_alerting.reserved_labels": "disabled_labels",
    "unified_alerting.state_history": (
        "enabled:bool backend primary secondaries loki_remote_url loki_remote_read_url loki_remote_write_url "
        "loki_tenant_id loki_basic_auth_username loki_basic_auth_password loki_max_query_length:duration "
        "loki_max_query_size:int prometheus_target_datasource_uid prometheus_metric_name "
        "prometheus_write_timeout:duration"
    ),
    "unified_alerting.state_history.external_labels": _EVERY,
    "unified_alerting.state_history.annotations": "max_age:duration max_annotations_to_keep:int",
    "unified_alerting.notification_history": (
        "enabled:bool loki_remote_url loki_tenant_id loki_basic_auth_username loki_basic_auth_password"
    ),
    "unified_alerting.notification_history.external_labels": _EVERY,
    "unified_alerting.prometheus_conversion": "rule_query_offset:duration default_datasource_uid",
    "recording_rules": (
        "enabled:bool url basic_auth_username basic_auth_password timeout:duration default_datasource_uid"
    ),
    "recording_rules.custom_headers": _EVERY,
    "remote.alertmanager": "enabled:bool url tenant password timeout:duration sync_interval:duration",
    "annotations": "cleanupjob_batchsize:int tags_length:int",
    "annotations.dashboard": "max_age:duration max_annotations_to_keep:int",
    "annotations.api": "max_age:duration max_annotations_to_keep:int",
    "explore": "enabled:bool defaultTimeOffset hide_logs_download:bool",
    "help": "enabled:bool",
    "profile": "enabled:bool",
    "news": "news_feed_enabled:bool",
    "query": "concurrent_query_limit:int",
    "query_history": "enabled:bool",
    "short_links": "expire_time:int",
    "metrics": (
        "enabled:bool interval_seconds:int disable_total_stats:bool total_stats_collector_interval_seconds:int "
        "basic_auth_username basic_auth_password"
    ),
    "metrics.environment_info": _EVERY,
    "metrics.graphite": "address prefix",
    "grafana_net": "url",
    "grafana_com": "url api_url sso_api_token",
    "tracing.jaeger": (
        "address always_included_tag sampler_type sampler_param sampling_server_url zipkin_propagation:bool "
        "disable_shared_zipkin_spans:bool"
    ),
    "tracing.opentelemetry": "custom_attributes sampler_type sampler_param sampling_server_url",
    "tracing.opentelemetry.jaeger": "address propagation",
    "tracing.opentelemetry.otlp": "address propagation insecure:bool",
    "external_image_storage": "provider",
    "external_image_storage.s3": "endpoint path_style_access:bool bucket_url bucket region path access_key secret_key",
    "external_image_storage.webdav": "url username password public_url",
    "external_image_storage.gcs": "key_file bucket path enable_signed_urls:bool signed_url_expiration:duration",
    "external_image_storage.azure_blob": "account_name account_key container_name sas_token_expiration_days:int",
    "external_image_storage.local": "",
    "rendering": (
        "server_url callback_url renderer_token concurrent_render_request_limit:int render_key_lifetime:duration "
        "default_image_width:int default_image_height:int default_image_scale"
    ),
    "panels": "enable_alpha:bool disable_sanitize_html:bool",
    "plugins": (
        "enable_alpha:bool app_tls_skip_verify_insecure:bool allow_loading_unsigned_plugins plugin_admin_enabled:bool "
        "plugin_admin_external_manage_enabled:bool plugin_catalog_url plugin_catalog_hidden_plugins "
        "log_backend_requests:bool public_key_retrieval_disabled:bool public_key_retrieval_on_startup:bool "
        "disable_plugins preinstall preinstall_async:bool preinstall_sync preinstall_disabled:bool "
        "preinstall_auto_update:bool update_strategy forward_host_env_vars install_token"
    ),
    "live": (
        "max_connections:int allowed_origins message_size_limit:int ha_engine ha_engine_address ha_engine_password "
        "ha_prefix"
    ),
    "enterprise": "license_path",
    "date_formats": (
        "full_date interval_second interval_minute interval_hour interval_day interval_month interval_year "
        "use_browser_locale:bool default_timezone default_week_start"
    ),
    "time_picker": "quick_ranges",
    "expressions": "enabled:bool sql_expression_cell_limit:int sql_expression_output_cell_limit:int "
    "sql_expression_timeout:duration",
    "geomap": "default_baselayer_config enable_custom_baselayers:bool",
    "feature_toggles": f"enable {_EVERY}:bool",
    "support_bundles": "enabled:bool server_admin_only:bool public_keys",
    "storage": "allow_unsanitized_svg_upload:bool",
    "navigation.app_sections": _EVERY,
    "navigation.app_standalone_pages": _EVERY,
    "secure_socks_datasource_proxy": (
        "enabled:bool root_ca_cert client_key client_cert server_name proxy_address show_ui:bool allow_insecure:bool"
    ),
    "public_dashboards": "enabled:bool",
    "cloud_migration": (
        "enabled:bool is_target:bool gcom_api_token start_snapshot_timeout:duration validate_key_timeout:duration "
        "get_snapshot_status_timeout:duration create_upload_url_timeout:duration report_event_timeout:duration "
        "fetch_instance_timeout:duration create_access_policy_timeout:duration fetch_access_policy_timeout:duration "
        "delete_access_policy_timeout:duration domain snapshot_folder frontend_poll_interval:duration "
        "alert_rules_state resource_storage_type"
    ),
    "secrets_manager": (
        "encryption_provider register_api_server:bool run_secrets_db_migrations:bool run_data_key_migration:bool"
    ),
    "secrets_manager.encryption.secret_key.v1": "secret_key",
    "frontend_dev": _EVERY,
}
OPEN: Final = ("plugin.", "unified_storage.", "secrets_manager.encryption.", "security.encryption.")
"""Sections of that begin belong to a plugin, a kind of resource or a key provider: anything may stand in them."""
_TRUE_OR_FALSE: Final = frozenset(("1", "t", "true", "yes", "y", "on", "0", "f", "false", "no", "n", "off"))
_DURATION: Final = re.compile(r"0|(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h|d|w|M|y))+")
_TYPES: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "": (lambda text: True, ""),
    "bool": (lambda text: text.lower() in _TRUE_OR_FALSE, "true or false"),
    "int": (lambda text: re.fullmatch(r"-?\d{1,19}", text), "a whole number"),
    "duration": (_DURATION.fullmatch, "a duration, for example 30m or 7d"),
}


def _read(text: str) -> Mapping[str, str]:
    return MappingProxyType({name: kind for name, _, kind in (part.partition(":") for part in text.split())})


KNOWN: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {name: _read(text) for name, text in _SECTIONS.items()}
)
"""Section -> setting -> type: ``bool``, ``int``, ``duration``, or nothing for a text; ``*`` is any setting."""


def type_of(section: str, key: str) -> str | None:
    """The type that Grafana reads a setting as; None: it does not know it."""
    if section.startswith(OPEN):
        return ""
    names = KNOWN.get(section, {})
    return names.get(key, names.get(_EVERY))


def expected(kind: str, value: str) -> str:
    """What a value should be and is not; empty where it is well.

    Args:
        kind: Type of the setting.
        value: Its text, references filled in, not empty.
    """
    fits, words = _TYPES[kind]
    return "" if fits(value) else words
