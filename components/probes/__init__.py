"""Probes: does every listener show a good certificate, and does every endpoint answer as it should?"""
