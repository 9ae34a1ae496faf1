"""Entry point: ``python3 -m services.backup_exporter --config FILE``."""

import sys

from services.backup_exporter.program import main

sys.exit(main())
