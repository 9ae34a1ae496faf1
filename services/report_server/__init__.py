"""The report server: serves the stored reports to people, and to Prometheus how old they are (requirement R1).

It only reads. What is not in the object storage was not made: a job that never ran, or that could not store its
report, is noticed by what is missing.
"""
