module obs-platform/loadgen

go 1.24
