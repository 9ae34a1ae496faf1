"""``ops drill``: faults on the live platform as commands, each with a report of what was measured (D3, M2).

A drill is an end-to-end test that takes something away under load and counts what is missing. The command looks first
whether the platform is steady, runs the test within a limited time, watches from outside meanwhile, and writes a report
from the test's evidence and from what it saw.
"""
