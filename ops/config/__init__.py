"""``obs config``: a stack's configuration, before anything is changed."""
