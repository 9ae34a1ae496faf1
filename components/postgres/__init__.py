"""PostgreSQL: one set of servers, of which one takes writes and the others follow it."""
