"""Print ``docs/masking.md``."""

from components.masking.document import document

print(document(), end="")
