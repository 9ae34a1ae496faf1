package otlprecords

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/config/confighttp"
)

const plenty = 1 << 20

// each says that all answers are good.
func each(t *testing.T, answers []chan error) {
	t.Helper()
	for _, answer := range answers {
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordsThatWaitAreSentTogether(t *testing.T) {
	server := &prometheus{gate: make(chan struct{})}
	room := 2 * len(numbered(100, 10))
	r, answers := together(t, Config{JoinedBytes: room}, server,
		numbered(1000, 10), numbered(1010, 10), numbered(1020, 10), numbered(1030, 10), numbered(1040, 30), numbered(1070, 1))
	close(server.gate)
	each(t, answers)
	if len(server.arrived()) != 71 || r.sum("sent_items") != 71 {
		t.Errorf("%d points arrived, %d counted", len(server.arrived()), r.sum("sent_items"))
	}
	// What a single record has may be more than is joined.
	if want := []int{10, 20, 10, 30, 1}; !slices.Equal(server.requests(), want) {
		t.Errorf("requests of %v points, want %v", server.requests(), want)
	}
}

func TestABadPointTakesNoOtherOfTheJoinedRecordsWithIt(t *testing.T) {
	server := &prometheus{bad: map[int64]bool{25: true}, gate: make(chan struct{})}
	r, answers := together(t, Config{MaxRequests: 20, JoinedBytes: plenty}, server,
		numbered(0, 10), numbered(10, 10), numbered(20, 10), numbered(30, 10))
	close(server.gate)
	each(t, answers)
	if len(server.arrived()) != 39 || server.arrived()[25] != 0 || r.sum("lost_items") != 1 {
		t.Errorf("%d points arrived, %d counted as lost", len(server.arrived()), r.sum("lost_items"))
	}
	for value, times := range server.arrived() {
		if times != 1 {
			t.Errorf("point %d arrived %d times", value, times)
		}
	}
}

func TestARecordThatIsCutOffIsNotPutBeforeAnother(t *testing.T) {
	server := &prometheus{gate: make(chan struct{})}
	cut := numbered(10, 10)
	r, answers := together(t, Config{JoinedBytes: plenty}, server,
		numbered(0, 10), cut[:len(cut)-3], numbered(20, 10), numbered(30, 10))
	close(server.gate)
	each(t, answers)
	if want := []int{10, -1, 20}; !slices.Equal(server.requests(), want) {
		t.Errorf("requests of %v points, want %v", server.requests(), want)
	}
	if len(server.arrived()) != 30 || r.lines.FilterMessage(givenUp).Len() != 1 {
		t.Errorf("%d points arrived", len(server.arrived()))
	}
}

func TestARequestWaitsAMomentForOthers(t *testing.T) {
	server := &prometheus{}
	r := started(t, Config{JoinedBytes: plenty, Linger: time.Second}, server)
	var all sync.WaitGroup
	for number := range 12 {
		all.Go(func() {
			if err := r.consume(numbered(number, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(server.requests()) != 1 || len(server.arrived()) != 12 {
		t.Errorf("requests of %v points, %d arrived", server.requests(), len(server.arrived()))
	}
}

func TestSeveralRequestsAreUnderWayAtTheSameTime(t *testing.T) {
	server := &prometheus{gate: make(chan struct{})}
	_, answers := together(t, Config{JoinedBytes: plenty, InFlight: 2}, server,
		numbered(0, 1), numbered(1, 1), numbered(2, 1), numbered(3, 1))
	if begun := len(server.requests()); begun != 2 {
		t.Errorf("%d requests under way", begun)
	}
	close(server.gate)
	each(t, answers)
}

func TestEveryRecordOfARequestHearsOfAnErrorThatMayPass(t *testing.T) {
	server := &prometheus{away: http.StatusServiceUnavailable, gate: make(chan struct{})}
	_, answers := together(t, Config{JoinedBytes: plenty}, server, numbered(0, 1), numbered(1, 1), numbered(2, 1))
	close(server.gate)
	for _, answer := range answers {
		if err := <-answer; err == nil {
			t.Error("a record that did not arrive was acknowledged")
		}
	}
}

func TestShutdownEndsWhatIsUnderWayAndWhatWaits(t *testing.T) {
	server := &prometheus{gate: make(chan struct{})}
	r, answers := together(t, Config{JoinedBytes: plenty}, server, numbered(0, 1), numbered(1, 1))
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("the answer is %v", err)
		}
	}
	close(server.gate)
}

func TestACallerThatLeavesDoesNotWait(t *testing.T) {
	server := &prometheus{gate: make(chan struct{})}
	r, answers := together(t, Config{JoinedBytes: plenty}, server, numbered(0, 1))
	ctx, leave := context.WithCancel(context.Background())
	leave()
	if err := r.ConsumeLogs(ctx, raw(numbered(1, 1))); !errors.Is(err, context.Canceled) {
		t.Errorf("the answer is %v", err)
	}
	close(server.gate)
	each(t, answers)
}

func TestMistakesInSettingsAreNamed(t *testing.T) {
	good := confighttp.ClientConfig{Endpoint: "https://prometheus:9090/api/v1/otlp/v1/metrics"}
	if err := (&Config{ClientConfig: good, MaxRequests: 2, InFlight: 1}).Validate(); err != nil {
		t.Error(err)
	}
	for _, config := range []Config{
		{MaxRequests: 2, InFlight: 1},
		{ClientConfig: good, MaxRequests: 1, InFlight: 1},
		{ClientConfig: good, MaxRequests: 2},
		{ClientConfig: good, MaxRequests: 2, InFlight: 1, JoinedBytes: -1},
		{ClientConfig: good, MaxRequests: 2, InFlight: 1, Linger: time.Minute},
	} {
		if config.Validate() == nil {
			t.Errorf("%+v is no mistake", config)
		}
	}
}
