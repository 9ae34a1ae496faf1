"""Entry point: ``python3 -m services.report_shelf --config FILE``."""

import sys

from services.report_shelf.program import main

sys.exit(main())
