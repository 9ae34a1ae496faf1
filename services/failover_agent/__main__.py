"""Entry point: ``python3 -m services.failover_agent --config FILE``."""

import sys

from services.failover_agent.program import main

sys.exit(main())
