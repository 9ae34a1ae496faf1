"""Fakes of what alerts leave the platform for: a pager, SMS, Slack, a mail server, a dead man's switch.

None of the real ones is to be had here. Each fake speaks the real one's protocol and refuses what the real one
refuses; what it accepts goes into one record that tests and people read. Nothing of the product knows of them.
"""
