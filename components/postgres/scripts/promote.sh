#!/bin/bash
# Lets this standby take writes, unless another member does, or another standby has more.
set -euo pipefail
source /etc/postgres/members.sh

if [[ $(ask "SELECT pg_is_in_recovery()") == f ]]; then
  say "$POD_NAME takes writes already"
  exit 0
fi
others=$(survey)
while read -r name state where; do
  case $state in
    primary)
      die "$name takes writes: run demote.sh there first, or end it for good"
      ;;
    standby)
      ahead=$(ask "SELECT '$where'::pg_lsn > coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')")
      if [[ $ahead == t ]]; then
        die "$name has received more than $POD_NAME: promote that one"
      fi
      ;;
    silent)
      say "$name does not answer"
      ;;
  esac
done < <(if [[ -n $others ]]; then echo "$others"; fi)
pg_ctl promote -s -w -t 60 -D "$PGDATA"
ask CHECKPOINT
say "$POD_NAME takes writes now: set database.embedded.primary to $POD_INDEX and run pulumi up"
