"""Tools and images, built from the package registries and cached by version outside the checkout."""
