"""Entry point: ``python3 -m services.backup --config FILE database|grafana|kafka-metadata|search``."""

import sys

from services.backup.program import main

sys.exit(main())
