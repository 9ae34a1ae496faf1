"""Rules about what the prober sees: certificates that end, listeners that do not answer, doors that stand open."""

from __future__ import annotations

from components.alerting.escalation import duration, milliseconds
from components.probes import POD_JOB, SERVICE_JOB, Module
from components.rules import FRESH_S, SETTLED, Alert, Inhibition, RuleGroup, Severity, any_of

_JOBS = f'job=~"{POD_JOB}|{SERVICE_JOB}"'
_BY = "endpoint, instance"
_ENDS = f'{{__name__=~"probe_ssl_earliest_cert_expiry|probe_ssl_last_chain_expiry_timestamp_seconds",{_JOBS}}}'
_LEFT = f"min by ({_BY}) ({_ENDS}) - time()"
_REMEMBERED = "1h"
"""How long the end of a certificate is known: once it has ended, no handshake shows it any more."""
_LEFT_AT_LAST = f"min by ({_BY}) (last_over_time({_ENDS}[{_REMEMBERED}])) - time()"
_CODES = f'max by ({_BY}) (probe_http_status_code{{job="{SERVICE_JOB}",module="{Module.CLOSED}"}})'
_OPEN = f"({_CODES} >= 200) < 300"
_SOON, _AT_ONCE = 2, 10
"""Fractions of the time before its end at which a certificate is renewed."""

_POD, _SERVICE = (f'probe_success{{job="{job}"}}' for job in (POD_JOB, SERVICE_JOB))
_POD_EVERY_S = 60
_PROBES = _POD_PROBE, _SERVICE_PROBE = (_POD, 2 * _POD_EVERY_S), (_SERVICE, FRESH_S)
"""Results, and the age in seconds up to which one tells of a probe that is still made."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("CertificateEnds",),
        targets=("CertificateExpiresSoon",),
        equal=("endpoint", "instance"),
        reason="Of one certificate, the later threshold says it all.",
    ),
    Inhibition(
        source=("TargetDown", "KafkaBrokerDown", "PrometheusDown"),
        targets=("EndpointUnreachable",),
        equal=("instance",),
        reason="A pod that does not answer Prometheus does not answer the prober.",
    ),
)


def _asked(success: str, within_s: int) -> str:
    """Whether a probe is still made: of an endpoint that was taken away, the last result is known for minutes more."""
    return f"max by ({_BY}) (time() - timestamp({success}) < {within_s})"


def probe_rules(renew_before: str) -> tuple[RuleGroup, ...]:
    """Rules for certificates that are renewed ``renew_before`` their end, for example ``720h``.

    Raises:
        ValueError: ``renew_before`` is no duration.
    """
    renewed = milliseconds(renew_before)
    return (
        RuleGroup(
            name="probes",
            rules=(
                Alert(
                    name="CertificateExpiresSoon",
                    expr=f"{_LEFT} < {_seconds(renewed // _SOON)}",
                    for_="5m",
                    severity=Severity.MEDIUM,
                    summary="The certificate of {{ $labels.endpoint }} {{ $labels.instance }} ends in "
                    "{{ $value | humanizeDuration }}",
                    description=f"It should have been renewed {duration(renewed)} before its end. Either it was not, "
                    "or the process still shows the one that it read when it started.",
                    annotations={
                        "summary_ja": "{{ $labels.endpoint }} {{ $labels.instance }} の証明書の残りが "
                        "{{ $value | humanizeDuration }} です",
                        "description_ja": "更新されていないか、起動時に読んだ古い証明書を使い続けています。",
                    },
                ),
                Alert(
                    name="CertificateEnds",
                    expr=f"{_LEFT_AT_LAST} < {_seconds(renewed // _AT_ONCE)} "
                    f"and on ({_BY}) ({any_of(_asked(*probe) for probe in _PROBES)})",
                    for_="1m",
                    severity=Severity.CRITICAL,
                    summary="The certificate of {{ $labels.endpoint }} {{ $labels.instance }} ends in "
                    "{{ $value | humanizeDuration }}",
                    description="From then on nobody connects to it any more. All pods of a workload read theirs at "
                    "about the same time, so they end together.",
                    annotations={
                        "summary_ja": "{{ $labels.endpoint }} {{ $labels.instance }} の証明書の残りが "
                        "{{ $value | humanizeDuration }} です",
                        "description_ja": "期限を過ぎると誰も接続できません。"
                        "同じワークロードのポッドはほぼ同時に期限を迎えます。",
                    },
                ),
                Alert(
                    name="EndpointUnreachable",
                    expr=any_of(
                        (
                            f"max by ({_BY}) (max_over_time({_POD}[4m])) == 0 and {_asked(*_POD_PROBE)}",
                            f"max by ({_BY}) ({_SERVICE}) == 0 and {_asked(*_SERVICE_PROBE)} unless {_OPEN}",
                        )
                    ),
                    for_="1m",
                    severity=Severity.HIGH,
                    summary="{{ $labels.endpoint }} {{ $labels.instance }} cannot be used",
                    description="No connection, a certificate that has ended or is of another authority or name, or "
                    "an answer that is not the right one.",
                    annotations={
                        "summary_ja": "{{ $labels.endpoint }} {{ $labels.instance }} を利用できません",
                        "description_ja": "接続できないか、証明書が期限切れ・別の認証局・別名か、"
                        "応答が正しくありません。",
                    },
                ),
                Alert(
                    name="EndpointUnauthenticated",
                    expr=_OPEN,
                    for_="30s",
                    severity=Severity.CRITICAL,
                    summary="{{ $labels.endpoint }} lets strangers in",
                    description="It answered a request without a password with {{ $value }}. Whoever reaches it can "
                    "read, write or delete.",
                    annotations={
                        "summary_ja": "{{ $labels.endpoint }} がパスワードなしで利用できます",
                        "description_ja": "パスワードなしの要求に {{ $value }} で応答しました。"
                        "到達できる者は誰でも読み書きや削除ができます。",
                    },
                ),
                Alert(
                    name="ProbesMissing",
                    expr=any_of(
                        f'(max(up{{job="{job}"}}) or vector(0)) == 0 and on () {SETTLED}'
                        for job in (POD_JOB, SERVICE_JOB)
                    ),
                    for_="3m",
                    severity=Severity.HIGH,
                    summary="Nobody looks at certificates and endpoints",
                    description="The prober does not answer Prometheus. The alerts about what it sees are blind.",
                    labels={"job": "probes"},
                    annotations={
                        "summary_ja": "証明書と入口の検査が行われていません",
                        "description_ja": "検査プログラムが Prometheus に応答しません。"
                        "これらのアラートは機能していません。",
                    },
                ),
            ),
        ),
    )


def _seconds(length_ms: int) -> int:
    return length_ms // 1000
