"""Entry point: ``python3 -m services.kafka_archive --config FILE``."""

import sys

from services.kafka_archive.program import main

sys.exit(main())
