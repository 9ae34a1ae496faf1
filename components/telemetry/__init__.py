"""Catalogue of what is observed: layers, signals, topics, attributes, metrics, thresholds. Pure data, checked."""
