"""Keeps the indices of the search cluster, and measures it.

Runs as ``python3 -m services.index_manager --config FILE``. Each round it makes sure that users and roles are the ones
of its file, that templates, first indices and aliases exist, begins new indices, deletes old ones, takes snapshots, and
reads what its metrics tell. Every step can be repeated at any time.
"""
