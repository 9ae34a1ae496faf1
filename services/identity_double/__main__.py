"""Entry point: ``python3 -m services.identity_double --config FILE``."""

import sys

from services.identity_double.server import main

sys.exit(main())
