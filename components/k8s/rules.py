"""Rules about autoscalers: has one done all that it may (requirement S1)?

The cluster's own metrics do not reach the platform, so what an autoscaler wants is not known here. What is known is how
many of its pods answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.rules import Alert, RuleGroup, Severity, any_of


def autoscaler_rules(most: Mapping[str, int]) -> tuple[RuleGroup, ...]:
    """Rules about workloads that are scaled by their use.

    Args:
        most: Job -> most pods that its autoscaler may have; none: there are no rules.
    """
    if not most:
        return ()
    full = any_of(f'count by (job) (up{{job="{job}"}} == 1) >= {pods}' for job, pods in sorted(most.items()))
    return (
        RuleGroup(
            name="autoscalers",
            rules=(
                Alert(
                    name="AutoscalerAtMaximum",
                    expr=full,
                    for_="30m",
                    severity=Severity.MEDIUM,
                    summary="{{ $labels.job }} has all {{ $value }} pods that its autoscaler may have",
                    description="More load makes it slower from now on: nothing is added any more. A gateway tells "
                    "clients to come again before anything is lost.",
                    annotations={
                        "summary_ja": "{{ $labels.job }} がオートスケーラーの上限 {{ $value }} ポッドに達しています",
                        "description_ja": "これ以上は増えません。負荷がさらに増えると遅くなります。"
                        "ゲートウェイは失う前に再送を求めます。",
                    },
                ),
            ),
        ),
    )
