"""Entry point: ``python3 -m services.alert_events --config FILE``."""

import sys

from services.alert_events.program import main

sys.exit(main())
