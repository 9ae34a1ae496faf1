package bisect

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// slow answers when it is let, and may be called from several goroutines.
type slow struct {
	*prometheus
	mutex sync.Mutex
	gate  chan struct{}
	sizes []int
}

func (s *slow) ConsumeMetrics(ctx context.Context, data pmetric.Metrics) error {
	s.mutex.Lock()
	s.sizes = append(s.sizes, data.DataPointCount())
	s.mutex.Unlock()
	select {
	case <-s.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.prometheus.ConsumeMetrics(ctx, data)
}

func (s *slow) requestsBegun() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.sizes)
}

// record has points with numbers from first on.
func record(first, points int) pmetric.Metrics {
	data := pmetric.NewMetrics()
	gauge := data.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge()
	for number := range points {
		gauge.DataPoints().AppendEmpty().SetIntValue(int64(first + number))
	}
	return data
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 30 s: " + what)
		}
	}
}

func waitingCalls(made any) int {
	j := made.(metricsBisector).joiner
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return len(j.waiting)
}

// joined starts a connector behind which one request waits, and sends records after it from a goroutine each.
func joined(t *testing.T, config *Config, next *slow, records ...pmetric.Metrics) (made consumer.Metrics, close func() error, answers []chan error) {
	t.Helper()
	connector, _, _ := started(t, config, next)
	for number, data := range records {
		answer := make(chan error, 1)
		answers = append(answers, answer)
		go func() { answer <- connector.ConsumeMetrics(context.Background(), data) }()
		if number < config.InFlight {
			eventually(t, "a request is under way", func() bool { return next.requestsBegun() == number+1 })
		} else {
			eventually(t, "a record waits", func() bool { return waitingCalls(connector) == number+1-config.InFlight })
		}
	}
	return connector, func() error { return connector.Shutdown(context.Background()) }, answers
}

func TestRecordsThatWaitAreSentTogether(t *testing.T) {
	next := &slow{prometheus: &prometheus{taken: map[int64]int{}}, gate: make(chan struct{})}
	_, shutdown, answers := joined(t, &Config{MaxRequests: 50, JoinedItems: 25, InFlight: 1}, next,
		record(0, 10), record(10, 10), record(20, 10), record(30, 10), record(40, 30), record(70, 1))
	close(next.gate)
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	if len(next.taken) != 71 {
		t.Errorf("%d points arrived", len(next.taken))
	}
	want := []int{10, 20, 10, 30, 1} // what a single record has may be more than is joined
	if len(next.sizes) != len(want) {
		t.Fatalf("requests of %v points, want %v", next.sizes, want)
	}
	for at, size := range want {
		if next.sizes[at] != size {
			t.Fatalf("requests of %v points, want %v", next.sizes, want)
		}
	}
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
}

func TestABadPointTakesNoOtherOfTheJoinedRecordsWithIt(t *testing.T) {
	next := &slow{prometheus: &prometheus{bad: map[int64]bool{25: true}, taken: map[int64]int{}}, gate: make(chan struct{})}
	_, shutdown, answers := joined(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 1}, next,
		record(0, 10), record(10, 10), record(20, 10), record(30, 10))
	close(next.gate)
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	if len(next.taken) != 39 || next.taken[25] != 0 {
		t.Errorf("%d points arrived, the bad one %d times", len(next.taken), next.taken[25])
	}
	for value, times := range next.taken {
		if times != 1 {
			t.Errorf("point %d arrived %d times", value, times)
		}
	}
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
}

func TestARequestWaitsAMomentForOthers(t *testing.T) {
	next := &slow{prometheus: &prometheus{taken: map[int64]int{}}, gate: make(chan struct{})}
	close(next.gate)
	made, _, _ := started(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 1, Linger: time.Second}, next)
	var all sync.WaitGroup
	for number := range 12 {
		all.Go(func() {
			if err := made.ConsumeMetrics(context.Background(), record(number, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(next.sizes) != 1 || len(next.taken) != 12 {
		t.Errorf("requests of %v points, %d arrived", next.sizes, len(next.taken))
	}
	if err := made.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestSeveralRequestsAreUnderWayAtTheSameTime(t *testing.T) {
	next := &slow{prometheus: &prometheus{taken: map[int64]int{}}, gate: make(chan struct{})}
	_, shutdown, answers := joined(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 2}, next,
		record(0, 1), record(1, 1), record(2, 1), record(3, 1))
	if begun := next.requestsBegun(); begun != 2 {
		t.Errorf("%d requests under way", begun)
	}
	close(next.gate)
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryRecordOfARequestHearsOfAnErrorThatMayPass(t *testing.T) {
	next := &slow{prometheus: &prometheus{away: true}, gate: make(chan struct{})}
	_, shutdown, answers := joined(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 1}, next,
		record(0, 1), record(1, 1), record(2, 1))
	close(next.gate)
	for _, answer := range answers {
		if err := <-answer; err == nil {
			t.Error("a record that did not arrive was acknowledged")
		}
	}
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownEndsWhatIsUnderWayAndWhatWaits(t *testing.T) {
	next := &slow{prometheus: &prometheus{taken: map[int64]int{}}, gate: make(chan struct{})}
	_, shutdown, answers := joined(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 1}, next, record(0, 1), record(1, 1))
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("the answer is %v", err)
		}
	}
}

func TestACallerThatLeavesDoesNotWait(t *testing.T) {
	next := &slow{prometheus: &prometheus{taken: map[int64]int{}}, gate: make(chan struct{})}
	made, shutdown, answers := joined(t, &Config{MaxRequests: 20, JoinedItems: 1000, InFlight: 1}, next, record(0, 1))
	ctx, leave := context.WithCancel(context.Background())
	leave()
	if err := made.ConsumeMetrics(ctx, record(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("the answer is %v", err)
	}
	close(next.gate)
	if err := <-answers[0]; err != nil {
		t.Error(err)
	}
	if err := shutdown(); err != nil {
		t.Fatal(err)
	}
}

func TestNamesOfJoinedSettings(t *testing.T) {
	for _, config := range []Config{{MaxRequests: 2, JoinedItems: -1}, {MaxRequests: 2, JoinedItems: 1}, {MaxRequests: 2, JoinedItems: 1, InFlight: 1, Linger: time.Minute}} {
		if config.Validate() == nil {
			t.Errorf("%+v is no mistake", config)
		}
	}
}
