"""Makes matplotlib's SVG fit to stand inside an HTML page beside others of its kind."""

from __future__ import annotations

import re
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_LINK_KEY = f"{{{_LINK}}}href"
_USE = re.compile(r"url\(#([^)]+)\)")


def inline(text: str, *, name: str, title: str, description: str) -> str:
    """An ``<svg>`` element: no prolog, ids that start with ``name``, a title and a description, width of its column.

    Args:
        text: The file that matplotlib wrote.
        name: Must differ between the charts of one page.
        title: What it shows.
        description: The same in a sentence.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(text)  # noqa: S314  (written by matplotlib a moment ago)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}metadata":
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _LINK_KEY and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, _USE.sub(rf"url(#{name}-\1)", value))
    for index, (tag, content) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = "".join(character if character.isprintable() else " " for character in content)
        root.insert(index, element)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("style", "width:100%;height:auto")
    return ElementTree.tostring(root, encoding="unicode")
