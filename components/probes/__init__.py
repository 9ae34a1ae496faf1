"""Probes: does every listener show a good certificate, and does every entrance answer as it should?"""
