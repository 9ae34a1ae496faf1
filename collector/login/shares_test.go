package login

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"obs-platform/collector/wire"
)

func rates(items, bytes float64) map[string]Rate {
	return map[string]Rate{"metrics": {items, bytes}, "traces": {items, bytes}, "logs": {items, bytes}}
}

// divided is a login of whose users two have a quarter each, and 100 items and 100,000 bytes a second.
func divided(edit func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Clients = map[string]Client{
			"device": {Share: 0.25, Rates: rates(100, 100_000)}, "data": {Share: 0.25, Rates: rates(100, 100_000)},
		}
		c.Burst = time.Second
		c.Queues = map[string]int64{"metrics": 1000, "traces": 1000, "logs": 1000}
		if edit != nil {
			edit(c)
		}
	}
}

// clock is a login's, moved by the test.
type clock struct {
	mutex sync.Mutex
	at    time.Time
}

func (c *clock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.at
}

func (c *clock) forward(by time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.at = c.at.Add(by)
}

func stopped(l *login) *clock {
	c := &clock{at: time.Now()}
	l.now = c.now
	return c
}

func TestABucketLetsTheRateThroughAndOneRequestOfAnySize(t *testing.T) {
	now := time.Now()
	b := newBucket(100, 2*time.Second)
	for _, step := range []struct {
		after   time.Duration
		takes   float64
		waiting bool
	}{
		{0, 150, false}, {0, 1000, false}, {0, 0, true}, {9 * time.Second, 0, true}, {600 * time.Millisecond, 100, false},
		{time.Hour, 199, false}, {0, 1, false}, {0, 0, true},
	} {
		now = now.Add(step.after)
		if wait := b.wait(now); (wait > 0) != step.waiting {
			t.Fatalf("%+v: waits %s with %g left", step, wait, b.level)
		} else if wait == 0 {
			b.level -= step.takes
		}
	}
	b.level = -1e9
	if wait := b.wait(now); wait != longestWait {
		t.Errorf("waits %s", wait)
	}
}

func TestWhatIsReservedIsThereWhateverTheOthersHold(t *testing.T) {
	parts := newParts(1000, map[string]Client{"a": {Share: 0.3}, "b": {Share: 0.2}})
	a, b := parts["a"], parts["b"]
	for a.take(1) {
	}
	if a.inUse() != 800 {
		t.Errorf("one alone has %d, want all but the other's part", a.inUse())
	}
	if a.fits(1) {
		t.Error("fits says otherwise than take")
	}
	for b.take(1) {
	}
	if b.inUse() != 200 {
		t.Errorf("the other has %d, want its part", b.inUse())
	}
	a.give(100)
	if !b.take(100) || b.take(1) || a.take(1) {
		t.Error("what is given back is everybody's, once")
	}
	b.give(300)
	a.give(700)
	if a.pool.borrowed != 0 || a.inUse() != 0 || b.inUse() != 0 {
		t.Errorf("%d are borrowed at the end", a.pool.borrowed)
	}
	if !b.take(5000) || b.take(1) {
		t.Error("who has nothing takes one request of any size, and no other")
	}
	if !a.take(300) {
		t.Error("the other's part is there all the same")
	}
}

func postedAs(handler http.Handler, user, path string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", protobuf)
	request = request.WithContext(client.NewContext(request.Context(), client.Info{Auth: identity(user)}))
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

// series is the values of one metric, by its attributes.
func series(t *testing.T, reader sdk.Reader, name string) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if metric.Name != name {
				continue
			}
			switch data := metric.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					values[point.Attributes.Encoded(encoder{})] = float64(point.Value)
				}
			case metricdata.Gauge[int64]:
				for _, point := range data.DataPoints {
					values[point.Attributes.Encoded(encoder{})] = float64(point.Value)
				}
			case metricdata.Gauge[float64]:
				for _, point := range data.DataPoints {
					values[point.Attributes.Encoded(encoder{})] = point.Value
				}
			}
		}
	}
	return values
}

func TestOverHTTPALayerBeyondItsRateIsToldWhenToComeAndAnotherFeelsNothing(t *testing.T) {
	reader := sdk.NewManualReader()
	l := startedWith(t, sdk.NewMeterProvider(sdk.WithReader(reader)), divided(nil))
	now := stopped(l)
	received := 0
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) { received++ })
	for range 100 {
		if answer := postedAs(handler, "device", "/v1/logs", deepLog(1)); answer.Code != http.StatusOK {
			t.Fatal(answer.Code, answer.Body)
		}
	}
	answer := postedAs(handler, "device", "/v1/logs", deepLog(1))
	after, err := strconv.Atoi(answer.Header().Get("Retry-After"))
	if answer.Code != http.StatusTooManyRequests || err != nil || after < 1 || received != 100 ||
		!strings.Contains(answer.Body.String(), "device sends more logs than its share: 100 items a second at this address: try again in ") {
		t.Errorf("answer is %d %v %s, %d were received", answer.Code, answer.Header(), answer.Body, received)
	}
	for _, other := range [][2]string{{"data", "/v1/logs"}, {"device", "/v1/metrics"}} {
		if answer := postedAs(handler, other[0], other[1], nil); answer.Code != http.StatusOK {
			t.Errorf("%v: %d", other, answer.Code)
		}
	}
	now.forward(time.Second)
	if answer := postedAs(handler, "device", "/v1/logs", deepLog(1)); answer.Code != http.StatusOK {
		t.Errorf("a second later: %d", answer.Code)
	}
	if got := series(t, reader, "otelcol_login_throttled_requests"); len(got) != 1 || got["layer=device,reason=items,signal=logs"] != 1 {
		t.Errorf("counted is %v", got)
	}
	if got := series(t, reader, "otelcol_login_taken_items"); got["layer=device,signal=logs"] != 101 {
		t.Errorf("taken are %v", got)
	}
	if got := series(t, reader, "otelcol_login_share"); got["kind=items,layer=data,signal=traces"] != 100 || got["kind=queue,layer=data,signal=logs"] != 250 {
		t.Errorf("shares are %v", got)
	}
}

func TestBytesAndMessagesInJSONAreBoundedToo(t *testing.T) {
	l := started(t, divided(func(c *Config) { c.Queues["logs"] = 1 << 20 }))
	stopped(l)
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) {})
	big := bytes.Repeat([]byte{0x18, 0}, 60_000) // a field that there is not
	for _, want := range []int{200, 429} {
		if answer := postedAs(handler, "device", "/v1/logs", big); answer.Code != want {
			t.Fatalf("%d %s, want %d", answer.Code, answer.Body, want)
		}
	}
	if counts, err := scan(wire.Logs, "application/json", bytes.Repeat([]byte(" "), 2561)); err != nil || counts.Items != 11 {
		t.Errorf("%d items, %v", counts.Items, err)
	}
}

func TestOverHTTPALayerCannotFillTheQueueForAnother(t *testing.T) {
	l := started(t, divided(nil))
	received, hold := make(chan struct{}, 100), make(chan struct{})
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) {
		received <- struct{}{}
		<-hold
	})
	body := bytes.Repeat([]byte{0x18, 0}, 50)
	answers := make(chan int, 100)
	start := func(user string) {
		go func() { answers <- postedAs(handler, user, "/v1/logs", body).Code }()
	}
	for range 7 { // its own 250 bytes and the 500 that are everybody's
		start("device")
		<-received
	}
	answer := postedAs(handler, "device", "/v1/logs", body)
	if answer.Code != http.StatusTooManyRequests || !strings.Contains(answer.Body.String(), "its share of the queue") {
		t.Errorf("answer is %d %s", answer.Code, answer.Body)
	}
	for range 2 {
		start("data")
		<-received
	}
	close(hold)
	for range 9 {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("answer is %d", code)
		}
	}
	if left := l.shares.find("device", wire.Logs); left.queue.inUse() != 0 || left.memory.inUse() != 0 || left.queue.pool.borrowed != 0 {
		t.Error("something is still in use")
	}
}

func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.RetryDelay.AsDuration()
		}
	}
	return 0
}

func TestOverGRPCALayerBeyondItsRateIsRefusedByItsHeaders(t *testing.T) {
	l := started(t, divided(func(c *Config) { c.Queues["metrics"] = 1 << 20 }))
	now := stopped(l)
	r, to := served(t, l)
	close(r.hold)
	if err := sendPoints(to, 250); err != nil { // more than a second's: the debt is paid before the next
		t.Fatal(err)
	}
	err := sendPoints(to, 1)
	if status.Code(err) != codes.ResourceExhausted || retryAfter(err) < time.Second ||
		!strings.Contains(err.Error(), "device sends more metrics than its share: 100 items a second") {
		t.Errorf("answer is %v, to come again in %s", err, retryAfter(err))
	}
	if got := len(r.received); got != 1 {
		t.Errorf("%d calls reached the receiver, want 1", got)
	}
	now.forward(2 * time.Second)
	if err := sendPoints(to, 1); err != nil {
		t.Errorf("after its debt is paid: %v", err)
	}
}

func TestOverGRPCCallsAreDividedAndComeBack(t *testing.T) {
	l := started(t, divided(func(c *Config) {
		c.MaxInFlight = 8
		c.Queues["metrics"] = 1 << 20
	}))
	r, to := served(t, l)
	results := make(chan error, 6)
	for range 6 { // its own two, and the four that are everybody's
		go func() { results <- sendPoints(to, 1) }()
		<-r.received
	}
	err := sendPoints(to, 1)
	if status.Code(err) != codes.ResourceExhausted || retryAfter(err) < time.Second || !strings.Contains(err.Error(), "more calls at once") {
		t.Errorf("answer is %v", err)
	}
	if other := l.shares.find("data", wire.Metrics); other.begins(l.now(), true) != nil {
		t.Error("another layer's calls are refused")
	}
	close(r.hold)
	for range 6 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	calls := l.shares.find("device", wire.Metrics).calls
	eventually(t, "the calls are given back", func() bool { return calls.inUse() == 0 && calls.fits(1) })
	if err := sendPoints(to, 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOverGRPCWhatIsTooMuchForTheQueueIsRefusedOnceItsSizeIsKnown(t *testing.T) {
	l := started(t, divided(func(c *Config) { c.Queues["metrics"] = 100 }))
	r, to := served(t, l)
	first := make(chan error, 1)
	go func() { first <- sendPoints(to, 10) }()
	<-r.received
	err := sendPoints(to, 90) // more than what is left to it, and to everybody
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "its share of the queue") {
		t.Errorf("answer is %v", err)
	}
	close(r.hold)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestSharesThatDoNotFitAreNamed(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"burst is 0s":        func(c *Config) { c.Burst = 0 },
		"queues: logs is 0":  func(c *Config) { delete(c.Queues, "logs") },
		"queues: allowed":    func(c *Config) { c.Queues["profiles"] = 1 },
		"device: share is 0": func(c *Config) { c.Clients["device"] = Client{Rates: rates(1, 1)} },
		"together":           func(c *Config) { c.Clients["device"] = Client{Share: 0.8, Rates: rates(1, 1)} },
		"device: rates: metrics: items and bytes": func(c *Config) {
			c.Clients["device"] = Client{Share: 0.2, Rates: map[string]Rate{"logs": {1, 1}, "traces": {1, 1}, "metrics": {1, 0}}}
		},
		"device: rates: allowed": func(c *Config) {
			c.Clients["device"] = Client{Share: 0.2, Rates: rates(1, 1)}
			c.Clients["device"].Rates["profiles"] = Rate{1, 1}
		},
	} {
		config := NewFactory().CreateDefaultConfig().(*Config)
		config.Htpasswd = "x"
		divided(edit)(config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzPartsNeverCostAnotherItsOwn(f *testing.F) {
	f.Add([]byte{1, 200, 3, 255, 0, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		parts := newParts(1000, map[string]Client{"a": {Share: 0.3}, "b": {Share: 0.2}, "c": {Share: 0.4}})
		names := []string{"a", "b", "c"}
		held := map[string][]int64{}
		for _, step := range steps {
			name, more := names[step%3], int64(step/3)+1
			if step&64 != 0 && len(held[name]) > 0 {
				parts[name].give(held[name][0])
				held[name] = held[name][1:]
				continue
			}
			within := parts[name].used+more <= parts[name].own
			if taken := parts[name].take(more); taken {
				held[name] = append(held[name], more)
			} else if within {
				t.Fatalf("%s was refused %d of its own part", name, more)
			}
		}
		for name, rest := range held {
			for _, back := range rest {
				parts[name].give(back)
			}
		}
		if parts["a"].pool.borrowed != 0 {
			t.Fatalf("%d are borrowed for ever", parts["a"].pool.borrowed)
		}
	})
}

// encoder writes attributes as k=v, sorted by key.
type encoder struct{}

func (encoder) Encode(all attribute.Iterator) string {
	var written []string
	for all.Next() {
		each := all.Attribute()
		written = append(written, string(each.Key)+"="+each.Value.AsString())
	}
	return strings.Join(written, ",")
}

func (encoder) ID() attribute.EncoderID { return attribute.NewEncoderID() }
