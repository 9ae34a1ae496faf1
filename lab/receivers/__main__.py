"""Entry point: ``python -m lab.receivers --config FILE``."""

import sys

from lab.receivers.server import main

sys.exit(main())
