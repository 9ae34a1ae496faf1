package otlprecords

import (
	"bytes"
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

// As components/consumers/__init__.py has it.
const requests = 500

func TestALongRunOfBadPointsTakesNoGoodOneWithIt(t *testing.T) {
	const points = 10_000
	for _, run := range []struct{ from, to int64 }{
		{0, 1000}, {3, 1003}, {4321, 5321}, {9000, 10_000}, {4999, 5998}, {0, 4993}, {7, 9991},
	} {
		server := &prometheus{bad: map[int64]bool{}}
		for value := run.from; value < run.to; value++ {
			server.bad[value] = true
		}
		r := started(t, Config{MaxRequests: requests}, server)
		if err := r.consume(devices(500, points/500)); err != nil {
			t.Fatal(err)
		}
		bad := int(run.to - run.from)
		if arrived, lost := len(server.arrived()), int(r.sum("lost_items")); arrived != points-bad || lost != bad {
			t.Errorf("%d to %d: %d good points are missing, %d counted as lost", run.from, run.to, points-bad-arrived, lost)
		}
		if asked := len(server.requests()); asked > requests {
			t.Errorf("%d to %d: it took %d requests", run.from, run.to, asked)
		}
	}
}

func TestScatteredBadPointsBeyondTheBudgetTakeFewOthersWithThem(t *testing.T) {
	const points, between = 10_000, 100
	server := &prometheus{bad: map[int64]bool{}}
	for value := int64(0); value < points; value += between {
		server.bad[value] = true
	}
	r := started(t, Config{MaxRequests: requests}, server)
	if err := r.consume(devices(500, points/500)); err != nil {
		t.Fatal(err)
	}
	if lost := r.sum("lost_items"); lost > 4*points/10 || int(lost)+len(server.arrived()) != points {
		t.Errorf("%d counted as lost, %d arrived", lost, len(server.arrived()))
	}
}

func TestEverySecondPointIsAFaultAndTheOthersArrive(t *testing.T) {
	server := &prometheus{bad: map[int64]bool{}, blame: http.StatusInternalServerError}
	for value := int64(0); value < 200; value += 2 {
		server.bad[value] = true
	}
	r := started(t, Config{MaxRequests: requests}, server)
	if err := r.consume(devices(10, 20)); err != nil {
		t.Fatal(err)
	}
	if len(server.arrived()) != 100 || r.sum("lost_items") != 100 {
		t.Errorf("%d arrived, %d counted as lost", len(server.arrived()), r.sum("lost_items"))
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

// all are numbers from 0 on.
func all(points int) map[int64]bool {
	numbers := map[int64]bool{}
	for value := range int64(points) {
		numbers[value] = true
	}
	return numbers
}

func TestARecordFullOfFaultsIsGivenUpWhereTheServerTakesWhatItTookBefore(t *testing.T) {
	for _, points := range []int{1, 2, 800} {
		server := &prometheus{bad: all(points), blame: http.StatusInternalServerError}
		r := started(t, Config{MaxRequests: 2000}, server)
		if err := r.consume(numbered(0, points)); err == nil {
			t.Error("given up without a proof that the server takes anything")
		}
		if err := r.consume(numbered(5000, 3)); err != nil {
			t.Fatal(err)
		}
		before := len(server.requests())
		if err := r.consume(numbered(0, points)); err != nil {
			t.Fatal(err)
		}
		if sent, lost := r.sum("sent_items"), r.sum("lost_items"); sent != 3 || lost != int64(points) {
			t.Errorf("%d counted as sent, %d as lost", sent, lost)
		}
		if asked := len(server.requests()) - before; asked > 2*points+mostFaults+8 {
			t.Errorf("it took %d requests", asked)
		}
		if err := r.consume(numbered(6000, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFewGoodPointsOfARecordFullOfFaultsArrive(t *testing.T) {
	const points, good = 800, 777
	bad := all(points)
	delete(bad, good)
	server := &prometheus{bad: bad, blame: http.StatusInternalServerError}
	r := started(t, Config{MaxRequests: 2000}, server)
	if err := r.consume(numbered(5000, 1)); err != nil {
		t.Fatal(err)
	}
	if err := r.consume(numbered(0, points)); err != nil {
		t.Fatal(err)
	}
	if server.arrived()[good] != 1 || r.sum("lost_items") != points-1 || r.sum("sent_items") != 2 {
		t.Errorf("arrived %d times, %d counted as lost, %d as sent", server.arrived()[good], r.sum("lost_items"), r.sum("sent_items"))
	}
}

func TestAServerThatTookSomethingOnceAndIsDownIsWaitedFor(t *testing.T) {
	for _, points := range []int{1, 800} {
		server := &prometheus{}
		r := started(t, Config{MaxRequests: 500}, server)
		if err := r.consume(numbered(5000, 1)); err != nil {
			t.Fatal(err)
		}
		server.becomes(http.StatusInternalServerError)
		before := len(server.requests())
		for range 3 {
			if err := r.consume(numbered(0, points)); err == nil {
				t.Error("a record that did not arrive was acknowledged")
			}
		}
		if asked := len(server.requests()) - before; asked > 3*(mostFaults+4) || r.sum("lost_items") != 0 {
			t.Errorf("%d requests, %d counted as lost", asked, r.sum("lost_items"))
		}
		server.becomes(0)
		if err := r.consume(numbered(0, points)); err != nil || len(server.arrived()) != points+1 {
			t.Errorf("%v, %d arrived", err, len(server.arrived()))
		}
	}
}

// The first request is taken, the second is the record; a proof is a request of one point after that.
func TestAServerThatIsWellForAMomentGivesNobodyUp(t *testing.T) {
	for name, well := range map[string]func(request int) bool{
		"from the proof on":      func(request int) bool { return request >= 3 },
		"for the proof alone":    func(request int) bool { return request == 3 },
		"not for the last proof": func(request int) bool { return request >= 5 },
	} {
		server := &prometheus{answers: func(request int) int {
			if request == 1 || well(request) {
				return 0
			}
			return http.StatusInternalServerError
		}}
		r := started(t, Config{MaxRequests: 500}, server)
		if err := r.consume(numbered(5000, 1)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if r.consume(numbered(0, 1)) == nil {
				break
			}
		}
		if arrived, lost := server.arrived()[0], r.sum("lost_items"); lost != 0 || (arrived != 1) != (name == "for the proof alone") {
			t.Errorf("well %s: arrived %d times, %d counted as lost", name, arrived, lost)
		}
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
	all := pointsOf(data)
	for from := range 12 {
		if part := all.part(from, 12); sentOf(t, part).DataPointCount() != 12-from || part.count() != 12-from {
			t.Errorf("%d points from %d on", part.count(), from)
		}
		if part := all.part(0, 12).part(from, from+1); sentOf(t, part).DataPointCount() != 1 || part.count() != 1 {
			t.Errorf("%d points at %d", part.count(), from)
		}
	}
	if all.count() != 12 || newRecord(value(data)).items != 12 {
		t.Errorf("%d points, %d counted in the record", all.count(), newRecord(value(data)).items)
	}
}

func sentOf(t *testing.T, part pieces) pmetric.Metrics {
	t.Helper()
	body, err := part.body()
	if err != nil {
		t.Fatal(err)
	}
	data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAPartHasWhatItsPointsStandIn(t *testing.T) {
	data := pmetric.NewMetrics()
	for number := range 4 {
		resource := data.ResourceMetrics().AppendEmpty()
		resource.SetSchemaUrl(fmt.Sprint("resource-", number))
		resource.Resource().Attributes().PutInt("number", int64(number))
		scope := resource.ScopeMetrics().AppendEmpty()
		scope.SetSchemaUrl(fmt.Sprint("scope-", number))
		scope.Scope().SetName(fmt.Sprint("library-", number))
		m := scope.Metrics().AppendEmpty()
		m.SetName(fmt.Sprint("metric-", number))
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for point := range 3 {
			sum.DataPoints().AppendEmpty().SetIntValue(int64(3*number + point))
		}
	}
	part := sentOf(t, pointsOf(data).part(4, 9)) // two of the second, the third
	want := pmetric.NewMetrics()
	for _, number := range []int{1, 2} {
		data.ResourceMetrics().At(number).CopyTo(want.ResourceMetrics().AppendEmpty())
	}
	want.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Sum().DataPoints().RemoveIf(func(point pmetric.NumberDataPoint) bool {
		return point.IntValue() == 3
	})
	if !bytes.Equal(value(part), value(want)) {
		t.Error("what was sent differs")
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
