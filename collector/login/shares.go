package login

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"obs-platform/collector/wire"
)

// Client is what one user may send, so that it costs the others nothing.
type Client struct {
	// Share is the part of each bound of what is in flight that nobody else can use. What is left of 1 is everybody's.
	Share float64 `mapstructure:"share"`
	// Rates are by signal: metrics, traces, logs.
	Rates map[string]Rate `mapstructure:"rates"`
}

// Rate is what may come in a second, on average over Config.Burst.
type Rate struct {
	// Items are data points, spans or log records.
	Items float64 `mapstructure:"items"`
	// Bytes are of messages, uncompressed.
	Bytes float64 `mapstructure:"bytes"`
}

var signalNames = map[string]wire.Signal{"metrics": wire.Metrics, "traces": wire.Traces, "logs": wire.Logs}

// validateShares names the first mistake of what concerns shares.
func (c *Config) validateShares() error {
	if len(c.Clients) == 0 {
		return nil
	}
	if c.Burst <= 0 {
		return fmt.Errorf("burst is %s, must be above 0", c.Burst)
	}
	for name := range signalNames {
		if c.Queues[name] < 1 {
			return fmt.Errorf("queues: %s is %d, must be at least 1", name, c.Queues[name])
		}
	}
	if len(c.Queues) != len(signalNames) {
		return fmt.Errorf("queues: allowed are metrics, traces and logs")
	}
	sum := 0.0
	for user, client := range c.Clients {
		if !(client.Share > 0 && client.Share <= 1) {
			return fmt.Errorf("clients: %s: share is %g, must be above 0 and at most 1", user, client.Share)
		}
		sum += client.Share
		for name := range signalNames {
			if rate := client.Rates[name]; !(rate.Items > 0 && rate.Bytes > 0) || math.IsInf(rate.Items+rate.Bytes, 0) {
				return fmt.Errorf("clients: %s: rates: %s: items and bytes must be above 0", user, name)
			}
		}
		if len(client.Rates) != len(signalNames) {
			return fmt.Errorf("clients: %s: rates: allowed are metrics, traces and logs", user)
		}
	}
	if sum > 1+1e-9 {
		return fmt.Errorf("clients: the shares are %g together, must be at most 1", sum)
	}
	return nil
}

const (
	longestWait  = 30 * time.Second
	shortestWait = time.Second
	// jsonItemBytes of a message in JSON count as one item: it is not taken apart before it is decoded.
	jsonItemBytes = 256
)

// bucket is a token bucket that may run into debt by one request, so that none is too large for ever.
type bucket struct {
	rate, most, level float64
	at                time.Time
}

func newBucket(rate float64, burst time.Duration) bucket {
	most := rate * burst.Seconds()
	return bucket{rate: rate, most: most, level: most}
}

func (b *bucket) refill(now time.Time) {
	if !b.at.IsZero() {
		b.level = min(b.most, b.level+b.rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
}

// wait is how long until something may be taken; 0: now.
func (b *bucket) wait(now time.Time) time.Duration {
	b.refill(now)
	if b.level > 0 {
		return 0
	}
	seconds := (1 - b.level) / b.rate
	return time.Duration(max(1, min(seconds, longestWait.Seconds())*float64(time.Second)))
}

// pool divides a bound: each user has a part for itself, and what is in nobody's part is everybody's.
type pool struct {
	mutex            sync.Mutex
	common, borrowed int64
}

// part is one user's of a pool.
type part struct {
	pool      *pool
	own, used int64
}

// newParts divides a bound among clients.
func newParts(bound int64, clients map[string]Client) map[string]*part {
	divided := &pool{common: bound}
	parts := map[string]*part{}
	for user, client := range clients {
		own := int64(math.Ceil(client.Share * float64(bound)))
		divided.common -= own
		parts[user] = &part{pool: divided, own: own}
	}
	divided.common = max(0, divided.common)
	return parts
}

// fits tells whether a request can take more. Who has nothing can always take one request, whatever its size.
func (p *part) fits(more int64) bool {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	return p.room(0, more)
}

// room is for more of a request that has held already.
func (p *part) room(held, more int64) bool {
	return more <= 0 || p.used == held || p.pool.borrowed+p.beyond(more) <= p.pool.common || p.beyond(more) == 0
}

// beyond is how much of more is not in the user's own part.
func (p *part) beyond(more int64) int64 { return max(0, p.used+more-p.own) - max(0, p.used-p.own) }

func (p *part) take(more int64) bool { return p.grow(0, more) }

// grow takes more for a request that has held already, or gives back what is below 0.
func (p *part) grow(held, more int64) bool {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	if !p.room(held, more) {
		return false
	}
	p.add(more)
	return true
}

// force takes what was let in already.
func (p *part) force(more int64) {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	p.add(more)
}

func (p *part) add(more int64) {
	p.pool.borrowed += p.beyond(more)
	p.used += more
}

func (p *part) give(back int64) { p.force(-back) }

func (p *part) inUse() int64 {
	p.pool.mutex.Lock()
	defer p.pool.mutex.Unlock()
	return p.used
}

// share is what one user has of one signal.
type share struct {
	user, signal string
	rate         Rate
	mutex        sync.Mutex
	items, bytes bucket
	calls        *part // of gRPC, of all signals
	memory       *part // what requests take while they are read and decoded, of all signals
	queue        *part // bytes that may wait for the exporter
	labels       metric.MeasurementOption
}

// refusal is why a request has to come again.
type refusal struct {
	reason string // items, bytes, calls, memory or queue; or flooded: it is nothing of the user's
	wait   time.Duration
}

// begins tells before a request is read whether it is worth it; nil: it is.
func (s *share) begins(now time.Time, call bool) *refusal {
	switch {
	case call && !s.calls.fits(1):
		return &refusal{"calls", shortestWait}
	case !s.memory.fits(1):
		return &refusal{"memory", shortestWait}
	case !s.queue.fits(1):
		return &refusal{"queue", shortestWait}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.exhausted(now)
}

func (s *share) exhausted(now time.Time) *refusal {
	if wait := s.items.wait(now); wait > 0 {
		return &refusal{"items", wait}
	}
	if wait := s.bytes.wait(now); wait > 0 {
		return &refusal{"bytes", wait}
	}
	return nil
}

// size is what a request takes.
type size struct{ weight, bytes, items int64 }

// enter takes what a request needs, besides memory, that has been read; nil: it may go on, and leaves with leave.
func (s *share) enter(now time.Time, of size) *refusal {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if refused := s.exhausted(now); refused != nil {
		return refused
	}
	if !s.queue.take(of.bytes) {
		return &refusal{"queue", shortestWait}
	}
	s.items.level -= float64(of.items)
	s.bytes.level -= float64(of.bytes)
	return nil
}

func (s *share) leave(of size) { s.queue.give(of.bytes) }

var causes = map[string]string{
	"items":  "sends more %[2]s than its share: %.0[3]f items a second at this address",
	"bytes":  "sends more %[2]s than its share: %.0[4]f bytes a second at this address",
	"calls":  "has more calls at once than its share",
	"memory": "has more in flight than its share",
	"queue":  "has more %[2]s waiting than its share of the queue",
}

// shares are those of all users.
type shares struct {
	of         map[string]*[4]*share // user -> by wire.Signal
	throttled  metric.Int64Counter
	takenItems metric.Int64Counter
	takenBytes metric.Int64Counter
}

func newShares(config *Config, meter metric.Meter) (*shares, error) {
	s := &shares{of: map[string]*[4]*share{}}
	calls := newParts(config.MaxInFlight, config.Clients)
	memory := newParts(config.MaxInFlightBytes, config.Clients)
	for user := range config.Clients {
		s.of[user] = new([4]*share)
	}
	for name, signal := range signalNames {
		queues := newParts(config.Queues[name], config.Clients)
		for user, client := range config.Clients {
			rate := client.Rates[name]
			s.of[user][signal] = &share{
				user: user, signal: name, rate: rate, items: newBucket(rate.Items, config.Burst), bytes: newBucket(rate.Bytes, config.Burst),
				calls: calls[user], memory: memory[user], queue: queues[user],
				labels: metric.WithAttributeSet(attribute.NewSet(attribute.String("layer", user), attribute.String("signal", name))),
			}
		}
	}
	return s, s.observed(meter)
}

// find is a user's share, or nil where nothing is bounded.
func (s *shares) find(user string, signal wire.Signal) *share {
	if of := s.of[user]; of != nil && signal != wire.Unknown {
		return of[signal]
	}
	return nil
}

func (s *shares) observed(meter metric.Meter) error {
	var err error
	counter := func(name, description, unit string) metric.Int64Counter {
		made, failed := meter.Int64Counter(name, metric.WithDescription(description), metric.WithUnit(unit))
		if failed != nil {
			err = failed
		}
		return made
	}
	s.throttled = counter("otelcol_login_throttled_requests", "Requests beyond their user's share, told to come again.", "{requests}")
	s.takenItems = counter("otelcol_login_taken_items", "Data points, spans and log records of requests within their user's share.", "{items}")
	s.takenBytes = counter("otelcol_login_taken_bytes", "Bytes of requests within their user's share, uncompressed.", "By")
	if err != nil {
		return err
	}
	limit, err := meter.Float64ObservableGauge("otelcol_login_share",
		metric.WithDescription("What a user may send: items and bytes a second, bytes that may wait which nobody else can use."), metric.WithUnit("{share}"))
	if err != nil {
		return err
	}
	waiting, err := meter.Int64ObservableGauge("otelcol_login_waiting_bytes",
		metric.WithDescription("Bytes of a user's requests that wait for their answer."), metric.WithUnit("By"))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		for _, of := range s.of {
			for _, each := range of {
				if each == nil {
					continue
				}
				observer.ObserveInt64(waiting, each.queue.inUse(), each.labels)
				for kind, value := range map[string]float64{"items": each.rate.Items, "bytes": each.rate.Bytes, "queue": float64(each.queue.own)} {
					observer.ObserveFloat64(limit, value, each.labels, metric.WithAttributes(attribute.String("kind", kind)))
				}
			}
		}
		return nil
	}, limit, waiting)
	return err
}

// count counts what was let in.
func (s *shares) count(ctx context.Context, of *share, taken size) {
	s.takenItems.Add(ctx, taken.items, of.labels)
	s.takenBytes.Add(ctx, taken.bytes, of.labels)
}

// refuse counts a refusal, and is what the client hears: when to come again, and not all at the same moment.
func (s *shares) refuse(ctx context.Context, of *share, why *refusal) (line string, wait time.Duration) {
	s.throttled.Add(ctx, 1, of.labels, metric.WithAttributes(attribute.String("reason", why.reason)))
	wait = max(shortestWait, why.wait)
	wait += time.Duration(rand.Int64N(int64(wait)/2 + 1)) //nolint:gosec // spreads clients, and hides nothing
	wait = min(wait, longestWait)
	cause := fmt.Sprintf("%[1]s "+causes[why.reason], of.user, of.signal, of.rate.Items, of.rate.Bytes)
	return fmt.Sprintf("%s: try again in %.0f s", cause, math.Ceil(wait.Seconds())), wait
}

// throttled is the status of gRPC: clients try it again because it tells them when.
func throttled(line string, wait time.Duration) error {
	told := status.New(codes.ResourceExhausted, line)
	if detailed, err := told.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); err == nil {
		told = detailed
	}
	return told.Err()
}
