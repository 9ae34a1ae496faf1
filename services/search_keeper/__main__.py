"""Entry point: ``python3 -m services.search_keeper --config FILE``."""

import sys

from services.search_keeper.program import main

sys.exit(main())
