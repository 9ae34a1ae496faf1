"""Entry point: ``python3 -m services.kafka_lag --config FILE``."""

import sys

from services.kafka_lag.exporter import main

sys.exit(main())
