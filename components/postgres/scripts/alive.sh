#!/bin/bash
# Liveness: a server that starts, recovers or ends says so, and is left alone.
status=0
pg_isready -q -h /var/run/postgresql -U postgres -d postgres -t 4 || status=$?
((status < 2))
