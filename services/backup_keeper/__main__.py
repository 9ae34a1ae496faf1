"""Entry point: ``python3 -m services.backup_keeper --config FILE``."""

import sys

from services.backup_keeper.program import main

sys.exit(main())
