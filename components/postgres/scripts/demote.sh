#!/bin/bash
# Makes this primary a standby: hands everything to its followers, ends, and comes back as one of them.
set -euo pipefail
source /etc/postgres/members.sh

if [[ $(ask "SELECT pg_is_in_recovery()") == t ]]; then
  say "$POD_NAME is a standby already"
  exit 0
fi
if [[ $(ask "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 0 ]]; then
  die "nobody follows $POD_NAME: it stays what it is"
fi
touch "$PGDATA/standby.signal"
kill -TERM 1
say "$POD_NAME comes back as a standby: now run promote.sh in the member that shall take writes"
