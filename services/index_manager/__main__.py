"""Entry point: ``python3 -m services.index_manager --config FILE``."""

import sys

from services.index_manager.program import main

sys.exit(main())
