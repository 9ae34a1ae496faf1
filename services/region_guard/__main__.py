"""Entry point: ``python3 -m services.region_guard --config FILE``."""

import sys

from services.region_guard.program import main

sys.exit(main())
