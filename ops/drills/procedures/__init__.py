"""Procedures of drills: each takes the platform and the figures of its evidence, and returns what did not hold."""
