"""``ops maintain``: what is looked at each day, week and month, as data, with a record of each run (M2)."""
