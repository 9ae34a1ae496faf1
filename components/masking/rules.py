"""Rules about masking: telemetry that could not be masked does not pass, and somebody must hear of it."""

from __future__ import annotations

from components.masking.render import HASH, MASK, SAME_AS_DEVICE
from components.rules import Alert, RuleGroup, Severity

_PROCESSOR = f'job="gateway",processor=~"{"|".join((SAME_AS_DEVICE, HASH, MASK))}"'
_IN = f"sum by (job, processor) (increase(otelcol_processor_incoming_items_total{{{_PROCESSOR}}}[5m]))"
_OUT = f"sum by (job, processor) (increase(otelcol_processor_outgoing_items_total{{{_PROCESSOR}}}[5m]))"

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="masking",
        rules=(
            Alert(
                name="MaskingRefuses",
                expr=f"({_IN} unless {_OUT}) > 0 or ({_IN} - {_OUT}) > 0.01 * {_IN}",
                for_="1m",
                severity=Severity.HIGH,
                summary="The gateway cannot mask telemetry and refuses it",
                description="A statement of {{ $labels.processor }} fails on what clients send. Nothing unmasked "
                "passes; the clients' telemetry is lost once they give up.",
                annotations={
                    "summary_ja": "ゲートウェイがマスキングできないテレメトリーを拒否しています",
                    "description_ja": "{{ $labels.processor }} の処理が失敗しています。"
                    "マスキングされないデータは通りませんが、送信側が諦めると失われます。",
                },
            ),
        ),
    ),
)
