#!/bin/bash
# Succeeds while PORT is open, once COMMAND has succeeded since the server of this container was started.
# Usage: catching_up.sh PORT FILE COMMAND [ARGUMENT]...   FILE keeps when the server was started.
set -euo pipefail
port=$1 file=$2
shift 2
exec 3<>"/dev/tcp/127.0.0.1/$port"
exec 3>&-
stat=$(</proc/1/stat)
read -r -a fields <<<"${stat##*) }"
started=${fields[19]}
if [[ -e $file && $(<"$file") == "$started" ]]; then
  exit 0
fi
read -r uptime _ </proc/uptime
RUNNING_S=$((${uptime%.*} - started / 100)) "$@"
echo "$started" >"$file"
