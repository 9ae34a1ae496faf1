# What start.sh, promote.sh and demote.sh have in common. Environment: POD_NAME, POD_INDEX, POD_IP, PGDATA,
# PGPORT, and PATIENCE_S: how long a silent member is asked again before it counts as gone.

config=/etc/postgres
socket=/var/run/postgresql

say() {
  echo "postgres: $*" >&2
}

die() {
  say "$@"
  exit 1
}

# Every other member on a line: its name, then `primary TIMELINE`, `standby POSITION` or `silent -`.
survey() {
  local name conninfo answer
  while read -r name conninfo; do
    if [[ $name == "$POD_NAME" ]]; then
      continue
    fi
    answer=$(psql -XAtq -F ' ' -d "$conninfo" -f "$config/state.sql" 2>/dev/null </dev/null) || answer="silent -"
    echo "$name $answer"
  done <"$config/members"
}

# A question to this member's own server, as its superuser.
ask() {
  psql -XAtq -h "$socket" -U postgres -d postgres -v ON_ERROR_STOP=1 -c "$1"
}
