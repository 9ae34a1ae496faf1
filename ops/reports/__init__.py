"""``ops report``: make a report from the live platform, read the stored ones, run a job now (requirement R1)."""
