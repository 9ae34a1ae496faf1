"""``ops drill``: faults on the live platform as commands, each with a report of what was measured (D3, M2).

A drill takes something away under load and counts what is missing. The command looks first whether the platform is
steady, carries the drill out within a limited time in a process of its own, watches from outside meanwhile, and writes
a report from the drill's evidence and from what it saw.
"""
