"""The policy pack: what a change must never take away from the platform."""
