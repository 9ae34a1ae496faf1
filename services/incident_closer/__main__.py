"""Entry point: ``python3 -m services.incident_closer --config FILE``."""

import sys

from services.incident_closer.program import main

sys.exit(main())
