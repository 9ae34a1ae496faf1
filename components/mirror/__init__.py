"""Copies Kafka of the other region into this one: configuration, pods, rules."""
