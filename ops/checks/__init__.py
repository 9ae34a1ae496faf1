"""``ops verify``: one row per requirement, seen on the live platform."""
