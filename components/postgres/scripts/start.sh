#!/bin/bash
# Runs one PostgreSQL member until it is told to end.
#
# Empty data: a copy of the member that takes writes; member 0 makes a new cluster when nobody has data and there has
# never been one.
# Data of a standby (standby.signal): follow whoever takes writes.
# Data of a primary: take writes, unless another member was promoted meanwhile: then go back to where both agree, and
# follow. Nothing is deleted on the way; where that does not work, a person decides.
set -euo pipefail
umask 077
source /etc/postgres/members.sh

renewal_s=5
volume=$(dirname "$PGDATA")
incoming=$volume/incoming
rewinding=$volume/rewinding
apart=$socket/apart
exists=/etc/postgres-cluster/exists # put there after the first start of the set
child=""
end=TERM

stop() {
  if [[ -n $child ]]; then
    kill -"$end" "$child" 2>/dev/null || true
  else
    exit 143
  fi
}
trap stop TERM INT

# Run a program so that a signal reaches it at once.
attended() {
  "$@" &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=""
  return "$status"
}

# Of what survey said: name and place of the first member in a state.
first() {
  local name state where
  while read -r name state where; do
    if [[ $state == "$1" ]]; then
      echo "$name $where"
      return
    fi
  done <<<"$2"
}

copy() {
  say "copying from $1, which takes writes"
  attended pg_basebackup -d "$(<"$config/leader")" -D "$incoming" --wal-method=stream --checkpoint=fast
  touch "$incoming/standby.signal"
  mv "$incoming" "$PGDATA"
}

create() {
  say "nobody has data: making a new cluster"
  attended initdb -D "$incoming" --username=postgres --data-checksums --encoding=UTF8 --locale=C.UTF-8 \
    --auth-local=peer --auth-host=reject --no-instructions >/dev/null
  mv "$incoming" "$PGDATA"
}

obtain() {
  local others primary standby silent
  while true; do
    others=$(survey)
    primary=$(first primary "$others")
    standby=$(first standby "$others")
    silent=$(first silent "$others")
    if [[ -n $primary ]]; then
      copy "${primary% *}"
      return
    fi
    if ((POD_INDEX == 0)); then
      if [[ -n $standby ]]; then
        die "this volume is empty, ${standby% *} has data, and nobody takes writes: promote it, as" \
          "docs/runbooks/PostgresDown.md says"
      fi
      if [[ -z $silent ]] || { ((SECONDS >= PATIENCE_S)) && [[ ! -e $exists ]]; }; then
        create
        return
      fi
      if [[ -e $exists ]]; then
        say "this volume is empty and there is a cluster: waiting for ${silent% *}, which does not answer; if no" \
          "member has data any more, see docs/runbooks/PostgresDown.md"
      fi
    else
      say "waiting for a member that takes writes"
    fi
    attended sleep 2
  done
}

rewind() {
  say "$1 was promoted after this member: going back to where both agree, and following it"
  # Until its next checkpoint a promoted server shows pg_rewind the line that it has left.
  attended psql -XAtq -d "$(<"$config/leader")" -c CHECKPOINT
  touch "$rewinding"
  attended pg_rewind --target-pgdata="$PGDATA" --source-server="$(<"$config/leader")" \
    --config-file="$config/postgresql.conf" ||
    die "this copy cannot be brought in line with $1: look at it, then delete this pod's volume claim and the pod"
  touch "$PGDATA/standby.signal"
  rm "$rewinding"
}

follow_if_superseded() {
  local others primary mine
  mine=$(pg_controldata "$PGDATA" | sed -n "s/^Latest checkpoint's TimeLineID: *//p")
  while true; do
    others=$(survey)
    primary=$(first primary "$others")
    if [[ -n $primary ]]; then
      if ((16#${primary#* } > mine)); then
        rewind "${primary% *}"
      else
        say "${primary% *} takes writes as well, on an older line: restart it"
      fi
      return
    fi
    if ((SECONDS >= PATIENCE_S)) || [[ -z $(first silent "$others") ]]; then
      return
    fi
    attended sleep 1
  done
}

# Roles and databases, while nobody else can connect.
apply_access() {
  mkdir -p "$apart"
  attended pg_ctl start -s -w -t 3600 -D "$PGDATA" -o \
    "-c config_file=$config/postgresql.conf -c listen_addresses= -c unix_socket_directories=$apart \
     -c synchronous_standby_names="
  local status=0
  attended psql -XAtq -h "$apart" -U postgres -d postgres -f "$config/access.sql" >/dev/null || status=$?
  attended pg_ctl stop -s -w -t 600 -m fast -D "$PGDATA"
  return "$status"
}

# A renewed certificate is read when the server is told to look again.
watch_certificate() {
  local known renewed
  known=$(</etc/tls/tls.crt)
  while sleep "$renewal_s"; do
    renewed=$(</etc/tls/tls.crt)
    if [[ $renewed != "$known" ]]; then
      known=$renewed
      say "the certificate was renewed"
      kill -HUP "$1"
    fi
  done
}

serve() {
  postgres -D "$PGDATA" -c config_file="$config/postgresql.conf" -c listen_addresses="127.0.0.1,$POD_IP" \
    -c cluster_name="$POD_NAME" &
  child=$!
  end=INT # clients are cut off, followers get the rest
  watch_certificate "$child" &
  while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true
  done
  local status=0
  wait "$child" || status=$?
  exit "$status"
}

# Numbers of processes begin anew in every container, so those in lock files of the last one say nothing: PostgreSQL
# would refuse to start. That nobody else has the volume is asked of the file system instead, until this container ends.
exec {lock}>"$volume/lock"
flock --nonblock "$lock" || die "another server has this volume open"
rm -f "$PGDATA/postmaster.pid" "$socket"/.s.PGSQL.* "$socket"/apart/.s.PGSQL.*
rm -rf "$incoming"
install -m 0600 /etc/postgres-secrets/replication.pgpass "$socket/replication.pgpass"
if [[ -e $rewinding ]]; then
  die "an earlier attempt to follow another member broke off: delete this pod's volume claim and the pod"
elif [[ ! -s $PGDATA/PG_VERSION ]]; then
  obtain
elif [[ ! -e $PGDATA/standby.signal ]]; then
  follow_if_superseded
fi
if [[ ! -e $PGDATA/standby.signal ]]; then
  apply_access
fi
serve
