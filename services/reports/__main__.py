"""Entry point: ``python3 -m services.reports --config FILE daily|weekly|monthly``."""

import sys

from services.reports.program import main

sys.exit(main())
