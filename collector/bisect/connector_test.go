package bisect

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// prometheus takes what has no bad value, and keeps its numbers; one bad value refuses the request.
type prometheus struct {
	bad      map[int64]bool
	taken    map[int64]int
	requests int
	away     bool
}

func (p *prometheus) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p *prometheus) take(values []int64) error {
	p.requests++
	if p.away {
		return errors.New("connection refused")
	}
	for _, value := range values {
		if p.bad[value] {
			return consumererror.NewPermanent(errors.New("out of bounds"))
		}
	}
	for _, value := range values {
		p.taken[value]++
	}
	return nil
}

func (p *prometheus) ConsumeMetrics(_ context.Context, data pmetric.Metrics) error {
	var values []int64
	for _, resource := range data.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				for _, point := range m.Gauge().DataPoints().All() {
					values = append(values, point.IntValue())
				}
			}
		}
	}
	return p.take(values)
}

func (p *prometheus) ConsumeTraces(_ context.Context, data ptrace.Traces) error {
	var values []int64
	for _, resource := range data.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				values = append(values, int64(span.StartTimestamp()))
			}
		}
	}
	return p.take(values)
}

func (p *prometheus) ConsumeLogs(_ context.Context, data plog.Logs) error {
	var values []int64
	for _, resource := range data.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				values = append(values, int64(record.Timestamp()))
			}
		}
	}
	return p.take(values)
}

func devices(resources, points int) pmetric.Metrics {
	data := pmetric.NewMetrics()
	for device := range resources {
		resource := data.ResourceMetrics().AppendEmpty()
		resource.Resource().Attributes().PutStr("device_id", fmt.Sprint("dev-", device))
		m := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("device.connected")
		gauge := m.SetEmptyGauge()
		for point := range points {
			gauge.DataPoints().AppendEmpty().SetIntValue(int64(device*points + point))
		}
	}
	return data
}

func started(t *testing.T, config *Config, next consumer.Metrics) (connector.Metrics, *componenttest.Telemetry, *observer.ObservedLogs) {
	t.Helper()
	telemetry := componenttest.NewTelemetry()
	core, logs := observer.New(zapcore.DebugLevel)
	set := connectortest.NewNopSettings(NewFactory().Type())
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	set.Logger = zap.New(core)
	made, err := newMetrics(context.Background(), set, config, next)
	if err != nil {
		t.Fatal(err)
	}
	return made, telemetry, logs
}

func sum(t *testing.T, telemetry *componenttest.Telemetry, name string) int64 {
	t.Helper()
	found, err := telemetry.GetMetric(name)
	if err != nil {
		return 0
	}
	return found.Data.(metricdata.Sum[int64]).DataPoints[0].Value
}

func TestOneBadPointOf800IsLostAndNamedAnd799Arrive(t *testing.T) {
	for _, bad := range []int64{0, 399, 400, 799} {
		next := &prometheus{bad: map[int64]bool{bad: true}, taken: map[int64]int{}}
		made, telemetry, logs := started(t, &Config{MaxRequests: 500}, next)
		if err := made.ConsumeMetrics(context.Background(), devices(40, 20)); err != nil {
			t.Fatal(err)
		}
		if len(next.taken) != 799 {
			t.Errorf("%d points arrived", len(next.taken))
		}
		for value, times := range next.taken {
			if times != 1 {
				t.Errorf("point %d arrived %d times", value, times)
			}
		}
		if next.requests > 22 {
			t.Errorf("it took %d requests", next.requests)
		}
		if lost := sum(t, telemetry, "otelcol_bisect_lost_items"); lost != 1 {
			t.Errorf("%d counted as lost", lost)
		}
		lines := logs.FilterMessage("refused for ever and given up").All()
		if len(lines) != 1 || lines[0].ContextMap()["device_id"] != fmt.Sprint("dev-", bad/20) || lines[0].ContextMap()["metric"] != "device.connected" {
			t.Errorf("lines are %v", lines)
		}
	}
}

func TestWhatIsRefusedAsAWholeCostsABoundedNumberOfRequests(t *testing.T) {
	bad := map[int64]bool{}
	for value := range int64(800) {
		bad[value] = true
	}
	next := &prometheus{bad: bad, taken: map[int64]int{}}
	made, telemetry, logs := started(t, &Config{MaxRequests: 50}, next)
	if err := made.ConsumeMetrics(context.Background(), devices(40, 20)); err != nil {
		t.Fatal(err)
	}
	if next.requests > 50 {
		t.Errorf("it took %d requests", next.requests)
	}
	if lost := sum(t, telemetry, "otelcol_bisect_lost_items"); lost != 800 {
		t.Errorf("%d counted as lost, want 800", lost)
	}
	if logs.Len() > 10 {
		t.Errorf("%d lines", logs.Len())
	}
}

func TestAnErrorThatMayPassIsReturned(t *testing.T) {
	next := &prometheus{away: true}
	made, _, _ := started(t, &Config{MaxRequests: 50}, next)
	if err := made.ConsumeMetrics(context.Background(), devices(2, 2)); err == nil || next.requests != 1 {
		t.Errorf("error %v after %d requests", err, next.requests)
	}
}

func TestSpansAndLogRecordsAreHalvedToo(t *testing.T) {
	next := &prometheus{bad: map[int64]bool{7: true}, taken: map[int64]int{}}
	set := connectortest.NewNopSettings(NewFactory().Type())
	spans := ptrace.NewTraces()
	logs := plog.NewLogs()
	for number := range 20 {
		spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetStartTimestamp(pcommon.Timestamp(number))
		logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().SetTimestamp(pcommon.Timestamp(number))
	}
	tracesMade, err := newTraces(context.Background(), set, &Config{MaxRequests: 100}, next)
	if err != nil {
		t.Fatal(err)
	}
	logsMade, err := newLogs(context.Background(), set, &Config{MaxRequests: 100}, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tracesMade.ConsumeTraces(context.Background(), spans), logsMade.ConsumeLogs(context.Background(), logs)); err != nil {
		t.Fatal(err)
	}
	for number := range int64(20) {
		if want := map[bool]int{true: 0, false: 2}[number == 7]; next.taken[number] != want {
			t.Errorf("number %d arrived %d times", number, next.taken[number])
		}
	}
}

type mutating struct{ *prometheus }

func (mutating) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func TestAPipelineThatChangesDataIsRefused(t *testing.T) {
	set := connectortest.NewNopSettings(NewFactory().Type())
	if _, err := newMetrics(context.Background(), set, &Config{MaxRequests: 2}, mutating{}); err == nil {
		t.Error("no mistake was named")
	}
	if (&Config{MaxRequests: 1}).Validate() == nil {
		t.Error("one request is no bound")
	}
}
