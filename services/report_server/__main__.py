"""Entry point: ``python3 -m services.report_server --config FILE``."""

import sys

from services.report_server.program import main

sys.exit(main())
