package otlprecords

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

const givenUp = "refused for ever and given up"

func TestARecordIsSentAsItIsAndCounted(t *testing.T) {
	server := &prometheus{}
	r := started(t, Config{}, server)
	if err := r.consume(devices(40, 20)); err != nil {
		t.Fatal(err)
	}
	if len(server.arrived()) != 800 || r.sum("sent_items") != 800 || r.sum("lost_items") != 0 {
		t.Errorf("%d points arrived, %d counted", len(server.arrived()), r.sum("sent_items"))
	}
}

func TestOneBadPointOf800IsLostAndNamedAnd799Arrive(t *testing.T) {
	for _, bad := range []int64{0, 399, 400, 799} {
		server := &prometheus{bad: map[int64]bool{bad: true}}
		r := started(t, Config{MaxRequests: 500}, server)
		if err := r.consume(devices(40, 20)); err != nil {
			t.Fatal(err)
		}
		if len(server.arrived()) != 799 {
			t.Errorf("%d points arrived", len(server.arrived()))
		}
		for value, times := range server.arrived() {
			if times != 1 {
				t.Errorf("point %d arrived %d times", value, times)
			}
		}
		if requests := len(server.requests()); requests > 22 {
			t.Errorf("it took %d requests", requests)
		}
		if lost, sent := r.sum("lost_items"), r.sum("sent_items"); lost != 1 || sent != 799 {
			t.Errorf("%d counted as lost, %d as sent", lost, sent)
		}
		lines := r.lines.FilterMessage(givenUp).All()
		if len(lines) != 1 || lines[0].ContextMap()["device_id"] != fmt.Sprint("dev-", bad/20) || lines[0].ContextMap()["metric"] != "device.connected" {
			t.Errorf("lines are %v", lines)
		}
	}
}

func TestWhatIsRefusedAsAWholeCostsABoundedNumberOfRequests(t *testing.T) {
	server := &prometheus{bad: map[int64]bool{}}
	for value := range int64(800) {
		server.bad[value] = true
	}
	r := started(t, Config{MaxRequests: 50}, server)
	if err := r.consume(devices(40, 20)); err != nil {
		t.Fatal(err)
	}
	if requests := len(server.requests()); requests > 50 {
		t.Errorf("it took %d requests", requests)
	}
	if lost := r.sum("lost_items"); lost != 800 {
		t.Errorf("%d counted as lost, want 800", lost)
	}
	if lines := r.lines.FilterMessage(givenUp).Len(); lines > 10 {
		t.Errorf("%d lines", lines)
	}
}

func TestOnlyAFaultOfTheRequestIsARefusal(t *testing.T) {
	for status, refused := range map[int]bool{
		http.StatusBadRequest:            true,
		http.StatusRequestEntityTooLarge: true,
		http.StatusUnprocessableEntity:   true,
		http.StatusUnauthorized:          false,
		http.StatusForbidden:             false,
		http.StatusNotFound:              false,
		http.StatusTooManyRequests:       false,
		http.StatusInternalServerError:   false, // a full disk, for all that is known
		http.StatusServiceUnavailable:    false,
	} {
		server := &prometheus{away: status}
		r := started(t, Config{}, server)
		if err := r.consume(numbered(0, 1)); (err == nil) != refused {
			t.Errorf("status %d: error %v", status, err)
		}
		if want := map[bool]int64{true: 1, false: 0}[refused]; r.sum("lost_items") != want {
			t.Errorf("status %d: %d counted as lost", status, r.sum("lost_items"))
		}
	}
}

func TestWhatTheServerCannotTranslateIsGivenUpWhereItTakesTheRest(t *testing.T) {
	for _, bad := range []map[int64]bool{{25: true}, {0: true, 39: true}, {3: true, 13: true, 23: true, 33: true}} {
		server := &prometheus{bad: bad, blame: http.StatusInternalServerError, gate: make(chan struct{})}
		r, answers := together(t, Config{MaxRequests: 500, JoinedBytes: plenty}, server,
			numbered(100, 1), numbered(0, 10), numbered(10, 10), numbered(20, 10), numbered(30, 10))
		close(server.gate)
		each(t, answers)
		if arrived := len(server.arrived()); arrived != 41-len(bad) || r.sum("lost_items") != int64(len(bad)) {
			t.Errorf("%d points arrived, %d counted as lost, of %d bad ones", arrived, r.sum("lost_items"), len(bad))
		}
	}
}

func TestManyRefusalsBeforeOneFaultDoNotEndTheSearch(t *testing.T) {
	const points, fault = 64, 62 // the last one alone is good, and is reached when all others were refused
	server := &prometheus{bad: map[int64]bool{}, other: map[int64]int{fault: http.StatusInternalServerError}}
	for value := range int64(points - 1) {
		server.bad[value] = true
	}
	r := started(t, Config{MaxRequests: 500}, server)
	if err := r.consume(numbered(0, points)); err != nil {
		t.Fatal(err)
	}
	if requests := len(server.requests()); requests <= mostFaults {
		t.Fatalf("%d requests show nothing", requests)
	}
	if arrived, lost := len(server.arrived()), r.sum("lost_items"); arrived != 1 || lost != points-1 {
		t.Errorf("%d points arrived, %d counted as lost", arrived, lost)
	}
}

func TestAServerThatTakesNothingIsNotAskedWithoutEnd(t *testing.T) {
	server := &prometheus{away: http.StatusInternalServerError}
	r := started(t, Config{MaxRequests: 500}, server)
	if err := r.consume(devices(40, 20)); err == nil {
		t.Error("a record that did not arrive was acknowledged")
	}
	if requests := len(server.requests()); requests > mostFaults+3 || r.sum("lost_items") != 0 {
		t.Errorf("%d requests, %d counted as lost", requests, r.sum("lost_items"))
	}
}

func TestWhatTheServerDidNotTakeArrivesWhenItIsSentAgain(t *testing.T) {
	server := &prometheus{away: http.StatusInternalServerError}
	r := started(t, Config{}, server)
	if err := r.consume(numbered(0, 3)); err == nil {
		t.Fatal("no error")
	}
	server.becomes(0)
	if err := r.consume(numbered(0, 3)); err != nil || len(server.arrived()) != 3 {
		t.Errorf("%v, %d arrived", err, len(server.arrived()))
	}
}

func TestAServerThatIsAwayIsAnError(t *testing.T) {
	r := started(t, Config{}, &prometheus{})
	r.Logs.(*recordExporter).config.ClientConfig.Endpoint = "http://127.0.0.1:1/api/v1/otlp/v1/metrics"
	if err := r.consume(numbered(0, 1)); err == nil {
		t.Error("a record that did not arrive was acknowledged")
	}
}

func TestAPointOfEachKindIsHalved(t *testing.T) {
	data := pmetric.NewMetrics()
	metrics := data.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	sum, histogram, exponential, summary := metrics.AppendEmpty().SetEmptySum(), metrics.AppendEmpty().SetEmptyHistogram(), metrics.AppendEmpty().SetEmptyExponentialHistogram(), metrics.AppendEmpty().SetEmptySummary()
	for range 3 {
		sum.DataPoints().AppendEmpty()
		histogram.DataPoints().AppendEmpty()
		exponential.DataPoints().AppendEmpty()
		summary.DataPoints().AppendEmpty()
	}
	all := points{data}
	for from := range 12 {
		if part := all.part(from, 12); part.count() != 12-from {
			t.Errorf("%d points from %d on", part.count(), from)
		}
		if part := all.part(from, from+1); part.count() != 1 {
			t.Errorf("%d points at %d", part.count(), from)
		}
	}
	if all.count() != 12 || newRecord(value(data)).items != 12 {
		t.Errorf("%d points, %d counted in the record", all.count(), newRecord(value(data)).items)
	}
}

func TestWhatCannotBeDecodedIsGivenUpAlone(t *testing.T) {
	server := &prometheus{}
	r := started(t, Config{}, server)
	if err := r.consume([]byte("\x0a\x7fno request")); err != nil {
		t.Fatal(err)
	}
	lines := r.lines.FilterMessage(givenUp).All()
	if len(lines) != 1 || lines[0].ContextMap()["bytes that cannot be decoded"] == nil || len(server.requests()) != 1 {
		t.Errorf("lines are %v, %v requests", lines, server.requests())
	}
}

func TestPointsThatTheServerLeavesOutAreCounted(t *testing.T) {
	said := pmetricotlp.NewExportResponse()
	said.PartialSuccess().SetRejectedDataPoints(2)
	said.PartialSuccess().SetErrorMessage("no room")
	answer, err := said.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	r := started(t, Config{}, &prometheus{says: answer})
	if err := r.consume(numbered(0, 5)); err != nil {
		t.Fatal(err)
	}
	if r.sum("lost_items") != 2 || r.sum("sent_items") != 3 {
		t.Errorf("%d lost, %d sent", r.sum("lost_items"), r.sum("sent_items"))
	}
}

func TestARecordWithoutBytesIsNotAcknowledged(t *testing.T) {
	r := started(t, Config{}, &prometheus{})
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("text")
	if err := r.ConsumeLogs(context.Background(), logs); err == nil {
		t.Error("no mistake was named")
	}
}
