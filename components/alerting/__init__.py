"""What an alert is called, when it is raised again, and which alert makes another one superfluous. Pure data.

Import the modules themselves: ``components.rules`` needs ``identity``, and the others need ``components.rules``.
"""
