package gate

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

const hashKey = "0123456789abcdef0123456789abcdef"

type login string

func (l login) GetAttribute(name string) any {
	if name == "username" {
		return string(l)
	}
	return nil
}

func (login) GetAttributeNames() []string { return []string{"username"} }

func as(user string) context.Context {
	return client.NewContext(context.Background(), client.Info{Auth: login(user)})
}

type gateTest struct {
	*core
	telemetry *componenttest.Telemetry
}

// newGate is a gate with the catalogue of testdata, changed by edits.
func newGate(t testing.TB, of signal, edits ...func(*catalogue)) gateTest {
	t.Helper()
	content, err := os.ReadFile("testdata/catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	config := defaultConfig().(*Config)
	config.Catalogue, config.HashKey, config.ReloadInterval = file, hashKey, time.Hour
	telemetry := componenttest.NewTelemetry()
	set := processor.Settings{
		ID:                processortest.NewNopSettings(NewFactory().Type()).ID,
		TelemetrySettings: telemetry.NewTelemetrySettings(),
	}
	made, err := newCore(set, config, of)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := telemetry.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, edit := range edits {
		edit(made.catalogue.Load())
	}
	return gateTest{made, telemetry}
}

// counted is the value of one of the gate's counters with some labels.
func (g gateTest) counted(t testing.TB, name string, labels map[string]string) int64 {
	t.Helper()
	found, err := g.telemetry.GetMetric(name)
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, point := range found.Data.(metricdata.Sum[int64]).DataPoints {
		match := true
		for key, value := range labels {
			actual, _ := point.Attributes.Value(attributeKey(key))
			match = match && actual.AsString() == value
		}
		if match {
			total += point.Value
		}
	}
	return total
}

func now() pcommon.Timestamp { return pcommon.NewTimestampFromTime(time.Now()) }

func put(attributes pcommon.Map, pairs map[string]any) {
	for key, value := range pairs {
		if err := attributes.PutEmpty(key).FromRaw(value); err != nil {
			panic(err)
		}
	}
}

var deviceResource = map[string]any{"service.name": "device-agent", "service.instance.id": "dev-0001", "device_id": "dev-0001"}

// gauge is a request with one gauge of one point.
func gauge(resource map[string]any, name, unit string, point map[string]any) pmetric.Metrics {
	data := pmetric.NewMetrics()
	each := data.ResourceMetrics().AppendEmpty()
	put(each.Resource().Attributes(), resource)
	m := each.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	m.SetUnit(unit)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(now())
	p.SetDoubleValue(1)
	put(p.Attributes(), point)
	return data
}

var apiResource = map[string]any{"service.name": "work-api", "service.instance.id": "work-api-1"}

// oneSpan is a request with one span.
func oneSpan(resource map[string]any, name string, attributes map[string]any) (ptrace.Traces, ptrace.Span) {
	data := ptrace.NewTraces()
	each := data.ResourceSpans().AppendEmpty()
	put(each.Resource().Attributes(), resource)
	span := each.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetName(name)
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{1})
	span.SetStartTimestamp(now())
	span.SetEndTimestamp(span.StartTimestamp() + 1000)
	put(span.Attributes(), attributes)
	return data, span
}

// oneRecord is a request with one log record.
func oneRecord(resource map[string]any, body any, attributes map[string]any) (plog.Logs, plog.LogRecord) {
	data := plog.NewLogs()
	each := data.ResourceLogs().AppendEmpty()
	put(each.Resource().Attributes(), resource)
	record := each.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetTimestamp(now())
	if err := record.Body().FromRaw(body); err != nil {
		panic(err)
	}
	put(record.Attributes(), attributes)
	return data, record
}
