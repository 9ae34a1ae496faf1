// Command obs-loadgen sends OTLP over HTTP at a set rate and prints what became of it as JSON.
//
// It reads its plan, credentials included, from standard input, so that no secret is on a command line or in a file.
// Requests are built once and only refreshed (times, ids, names, sequence numbers) before each is sent: the generator
// shares the machine with what it measures and must cost little. Targets are loopback and private addresses only.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	exitUsage     = 2
	maxPlanBytes  = 256 << 20
	progressEvery = 2 * time.Second
	parentEvery   = time.Second
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "obs-loadgen: %v\n", err)
		os.Exit(exitUsage)
	}
}

func run(in io.Reader, out, progress io.Writer) error {
	plan, err := readPlan(io.LimitReader(in, maxPlanBytes))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, orphaned := context.WithCancel(ctx)
	defer orphaned()
	go watchParent(ctx, orphaned)
	result, err := load(ctx, plan, progress)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// watchParent ends the run when the process that started it is gone.
func watchParent(ctx context.Context, end context.CancelFunc) {
	parent := os.Getppid()
	ticker := time.NewTicker(parentEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				end()
				return
			}
		}
	}
}
