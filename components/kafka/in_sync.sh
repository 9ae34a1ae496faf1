#!/bin/bash
set -euo pipefail
described=$(java %{flags} -Dlog4j2.configurationFile=%{configuration}/log4j2-probe.yaml @%{arguments} \
  org.apache.kafka.tools.TopicCommand --bootstrap-server localhost:%{internal_port} \
  --command-config %{configuration}/probe-client.properties --describe)
behind=0
while IFS=$'\t' read -r -a fields; do
  replicas="" isr=""
  for field in "${fields[@]}"; do
    case "$field" in
      "Replicas: "*) replicas=",${field#Replicas: }," ;;
      "Isr: "*) isr=",${field#Isr: }," ;;
    esac
  done
  if [[ "$replicas" == *",$POD_INDEX,"* && "$isr" != *",$POD_INDEX,"* ]]; then
    behind=$((behind + 1))
  fi
done <<<"$described"
if ((behind > 0)); then
  echo "broker $POD_INDEX is behind in $behind partitions"
  exit 1
fi
