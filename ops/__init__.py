"""Day-2 commands of the platform: ``python -m ops --help``."""
