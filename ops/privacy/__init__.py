"""``ops privacy``: what the platform holds about one person or device, and its removal where a store can remove it."""
