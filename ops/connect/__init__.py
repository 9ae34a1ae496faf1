"""``obs open``: a page of the platform in a browser; ``obs connect``: the settings with which a service sends."""
