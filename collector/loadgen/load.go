package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const maxAnswer = 64 << 10

// benchmarking is the block that RFC 2544 sets aside for tests of networks; labs use it.
var benchmarking = netip.MustParsePrefix("198.18.0.0/15")

// load runs the plan to its end, or until ctx is done, and says what became of it.
func load(ctx context.Context, plan *Plan, progress io.Writer) (*Result, error) {
	target, err := url.Parse(plan.URL)
	if err != nil {
		return nil, err
	}
	security := &tls.Config{MinVersion: tls.VersionTLS12}
	if target.Scheme == "https" {
		security.RootCAs = x509.NewCertPool()
		if !security.RootCAs.AppendCertsFromPEM([]byte(plan.Authority)) {
			return nil, errors.New("authority: no certificate in it")
		}
	}
	if err := reachable(ctx, target, security, plan.TimeoutSeconds); err != nil {
		return nil, err
	}
	run := &sending{plan: plan, tally: newTally(plan), started: time.Now()}
	run.end = run.started.Add(time.Duration(plan.Seconds * float64(time.Second)))
	before := cpuSeconds()
	var lanes sync.WaitGroup
	for client := range plan.Clients {
		transport := &http.Transport{
			DialContext:         guarded(target.Scheme == "http"),
			TLSClientConfig:     security.Clone(),
			TLSHandshakeTimeout: 10 * time.Second,
			MaxConnsPerHost:     plan.InFlight,
			MaxIdleConnsPerHost: plan.InFlight,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
			WriteBufferSize:     64 << 10,
		}
		defer transport.CloseIdleConnections()
		caller := &http.Client{
			Transport:     transport,
			Timeout:       time.Duration(plan.TimeoutSeconds * float64(time.Second)),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		for flight := range plan.InFlight {
			lanes.Add(1)
			go func() {
				defer lanes.Done()
				run.lane(ctx, caller, flight*plan.Clients+client)
			}()
		}
	}
	done := make(chan struct{})
	go run.report(progress, done)
	lanes.Wait()
	close(done)
	return run.tally.result(plan, time.Since(run.started), cpuSeconds()-before), nil
}

// sending is one run of a plan.
type sending struct {
	plan    *Plan
	tally   *tally
	started time.Time
	end     time.Time
}

// lane sends every lanes()-th slot when it is due, or at once where it is late, but never too late.
func (r *sending) lane(ctx context.Context, caller *http.Client, lane int) {
	made := newBodies(r.plan, lane, uint64(r.started.UnixNano()))
	requests := make([]*http.Request, len(r.plan.Parts))
	for number, part := range r.plan.Parts {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.plan.URL+part.Path, http.NoBody)
		if err != nil {
			r.tally.failed(err, false)
			return
		}
		request.Header.Set("Content-Type", "application/x-protobuf")
		if part.User != "" {
			login := base64.StdEncoding.EncodeToString([]byte(part.User + ":" + part.Password))
			request.Header.Set("Authorization", "Basic "+login)
		}
		requests[number] = request
	}
	interval, lanes := r.plan.interval(), int64(r.plan.lanes())
	latest := time.Duration(r.plan.LateSeconds * float64(time.Second))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for slot := int64(0); ; slot++ {
		due := r.started.Add(time.Duration(slot*lanes+int64(lane)) * interval)
		if !due.Add(r.plan.after(len(r.plan.Parts) - 1)).Before(r.end) {
			return
		}
		pause(ctx, timer, due)
		now := time.Now()
		if ctx.Err() != nil || !now.Before(r.end) || now.Sub(due) > latest {
			r.tally.leftOut(r.plan)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		made.refresh(slot, now)
		for number := range r.plan.Parts {
			own := due.Add(r.plan.after(number))
			pause(ctx, timer, own)
			r.send(caller, requests[number], made.current[number], number, own)
		}
	}
}

// pause waits until a moment, or until ctx is done.
func pause(ctx context.Context, timer *time.Timer, until time.Time) {
	if wait := time.Until(until); wait > 0 {
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

func (r *sending) send(caller *http.Client, request *http.Request, body []byte, number int, due time.Time) {
	request.Body = io.NopCloser(bytes.NewReader(body))
	request.ContentLength = int64(len(body))
	r.tally.sending(&r.plan.Parts[number], len(body))
	begun := time.Now()
	answer, err := caller.Do(request)
	if err != nil {
		var timeout net.Error
		r.tally.failed(err, errors.As(err, &timeout) && timeout.Timeout())
		return
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	answer.Body.Close()
	if err != nil {
		r.tally.failed(err, false)
		return
	}
	r.tally.answered(number, &r.plan.Parts[number], answer.StatusCode, text, time.Since(due), time.Since(begun))
}

func (r *sending) report(out io.Writer, done <-chan struct{}) {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	encoder := json.NewEncoder(out)
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			_ = encoder.Encode(map[string]any{
				"elapsed":      time.Since(r.started).Seconds(),
				"sent":         r.tally.sent.Load(),
				"acknowledged": r.tally.acknowledged.Load(),
			})
		}
	}
}

// guarded dials only what is ours: loopback, private addresses, and the block for benchmarks. What is not encrypted
// goes to loopback only.
func guarded(loopbackOnly bool) func(context.Context, string, string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		return allowed(address, loopbackOnly)
	}
	return dialer.DialContext
}

func allowed(address string, loopbackOnly bool) error {
	place, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	where := place.Addr().Unmap()
	if where.IsLoopback() || (!loopbackOnly && (where.IsPrivate() || benchmarking.Contains(where))) {
		return nil
	}
	if loopbackOnly {
		return fmt.Errorf("%s is not loopback, which alone may be used without TLS", where)
	}
	return fmt.Errorf("%s is neither loopback nor private: load is not sent to others", where)
}

// reachable connects once before the load, so that a wrong address or certificate is one clear line.
func reachable(ctx context.Context, target *url.URL, security *tls.Config, seconds float64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
	defer cancel()
	connection, err := guarded(target.Scheme == "http")(ctx, "tcp", target.Host)
	if err != nil {
		return fmt.Errorf("cannot connect to %s: %w", target.Host, err)
	}
	defer connection.Close()
	if target.Scheme == "https" {
		security = security.Clone()
		security.ServerName = target.Hostname()
		if err := tls.Client(connection, security).HandshakeContext(ctx); err != nil {
			return fmt.Errorf("no TLS with %s: %w", target.Host, err)
		}
	}
	return nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

type counter = atomic.Int64
