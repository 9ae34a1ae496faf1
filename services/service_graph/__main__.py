"""Entry point: ``python3 -m services.service_graph --config FILE``."""

import sys

from services.service_graph.program import main

sys.exit(main())
