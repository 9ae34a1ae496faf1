"""Entry point: ``python -m lab.fakes.receivers --config FILE``."""

import sys

from lab.fakes.receivers.server import main

sys.exit(main())
