"""``python -m components.telemetry > docs/telemetry.md``"""

from __future__ import annotations

import sys

from components.telemetry.document import markdown
from components.telemetry.validation import problems


def main() -> int:
    """Print the document, or the contradictions that forbid it."""
    found = problems()
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        sys.stdout.write(markdown())
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
