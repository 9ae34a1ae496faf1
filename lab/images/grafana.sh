#!/bin/sh
exec python3 -m lab.fakes.grafana "$@"
