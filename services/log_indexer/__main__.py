"""Entry point: ``python3 -m services.log_indexer --config FILE``."""

import sys

from services.log_indexer.program import main

sys.exit(main())
