"""Print ``docs/masking.md``."""

from components.masking.document import document

if __name__ == "__main__":
    print(document(), end="")
