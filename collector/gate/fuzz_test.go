package gate

import (
	"math"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What came off the wire passes or is refused; nothing that is left breaks a rule, and it can be written again.

func FuzzMetrics(f *testing.F) {
	g := newGate(f, metricsSignal)
	marshaler := pmetric.ProtoMarshaler{}
	for _, data := range []pmetric.Metrics{
		gauge(deviceResource, "device.state", "{state}", map[string]any{"device.state": "idle"}),
		gauge(recorder, "x.y", "1", map[string]any{"a": "b", "c": 1.5, "d": true}), benchPoints(20), histograms(), scoped(2, true), scoped(2, false),
	} {
		encoded, err := marshaler.MarshalMetrics(data)
		if err != nil {
			f.Fatal(err)
		}
		for _, user := range []string{"device", "streaming", "agent"} {
			f.Add(encoded, user)
		}
	}
	f.Fuzz(func(t *testing.T, encoded []byte, user string) {
		data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(encoded)
		if err != nil {
			return
		}
		sent := data.DataPointCount()
		left, err := g.metrics(as(user), data)
		if status.Code(err) == codes.InvalidArgument {
			return
		}
		if left.DataPointCount() > sent {
			t.Fatalf("%d points became %d", sent, left.DataPointCount())
		}
		for _, resource := range left.ResourceMetrics().All() {
			layer, ok := resource.Resource().Attributes().Get(layerKey)
			if !ok || g.catalogue.Load().layers[layer.Str()] == nil {
				t.Fatal("a resource without a layer passed")
			}
			if service, ok := resource.Resource().Attributes().Get(serviceName); !ok || g.catalogue.Load().reservedService(service.Str()) {
				t.Fatalf("service %q passed", service.AsString())
			}
			for _, scope := range resource.ScopeMetrics().All() {
				if name := scope.Scope().Name(); !utf8.ValidString(name) {
					t.Fatalf("scope %q passed", name)
				}
				if scope.Scope().Version() != "" || scope.SchemaUrl() != "" || scope.Scope().Attributes().Len() > 0 {
					t.Fatal("more than the name of a scope passed")
				}
				for _, m := range scope.Metrics().All() {
					if g.catalogue.Load().metrics.matchMetric(m.Name()) || !metricName(m.Name()) {
						t.Fatalf("metric %q passed", m.Name())
					}
					if m.Type() == pmetric.MetricTypeExponentialHistogram {
						for _, point := range m.ExponentialHistogram().DataPoints().All() {
							inBuckets := point.ZeroCount()
							for _, count := range append(point.Positive().BucketCounts().AsRaw(), point.Negative().BucketCounts().AsRaw()...) {
								inBuckets += count
							}
							if point.Scale() < -4 || inBuckets != point.Count() && !(math.IsNaN(point.Sum()) && inBuckets < point.Count()) {
								t.Fatalf("scale %d and count %d of %d passed", point.Scale(), point.Count(), inBuckets)
							}
						}
					}
					if m.Type() == pmetric.MetricTypeGauge {
						for _, point := range m.Gauge().DataPoints().All() {
							for key := range point.Attributes().All() {
								if reservedLabel(key, g.catalogue.Load().labels) {
									t.Fatalf("label %q passed", key)
								}
							}
						}
					}
				}
			}
		}
		if _, err := marshaler.MarshalMetrics(left); err != nil {
			t.Fatal(err)
		}
	})
}

// histograms is a request with a point of each kind that has several series or buckets.
func histograms() pmetric.Metrics {
	data := gauge(recorder, "x.y", "s", nil)
	metrics := data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	explicit := metrics.AppendEmpty()
	explicit.SetName("x.explicit")
	explicit.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := explicit.Histogram().DataPoints().AppendEmpty()
	p.SetTimestamp(now())
	p.ExplicitBounds().FromRaw([]float64{0, 1})
	p.BucketCounts().FromRaw([]uint64{1, 2, 3})
	p.Exemplars().AppendEmpty().SetDoubleValue(1)
	exponential := metrics.AppendEmpty()
	exponential.SetName("x.exponential")
	exponential.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	e := exponential.ExponentialHistogram().DataPoints().AppendEmpty()
	e.SetTimestamp(now())
	e.SetScale(-4)
	e.SetCount(6)
	e.SetZeroCount(1)
	e.Positive().SetOffset(-7)
	e.Positive().BucketCounts().FromRaw([]uint64{2})
	e.Negative().BucketCounts().FromRaw([]uint64{3})
	summary := metrics.AppendEmpty()
	summary.SetName("x.summary")
	s := summary.SetEmptySummary().DataPoints().AppendEmpty()
	s.SetTimestamp(now())
	s.QuantileValues().AppendEmpty().SetQuantile(0.5)
	return data
}

func FuzzTraces(f *testing.F) {
	g := newGate(f, tracesSignal)
	marshaler := ptrace.ProtoMarshaler{}
	data, span := oneSpan(apiResource, "GET /v1/works/{id}", map[string]any{"http.route": "/v1/works/{id}", "url.path": "/x?mail=a@example.com"})
	span.Events().AppendEmpty().Attributes().PutStr("exception.message", "x")
	span.SetFlags(math.MaxUint32)
	span.Links().AppendEmpty().TraceState().FromRaw("a=b")
	encoded, err := marshaler.MarshalTraces(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		data, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(encoded)
		if err != nil {
			return
		}
		if left, err := g.traces(as("business"), data); err == nil {
			for _, resource := range left.ResourceSpans().All() {
				for _, scope := range resource.ScopeSpans().All() {
					for _, span := range scope.Spans().All() {
						if span.Flags() > math.MaxInt32 {
							t.Fatalf("flags %#x passed", span.Flags())
						}
					}
				}
			}
			if _, err := marshaler.MarshalTraces(left); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzLogs(f *testing.F) {
	g := newGate(f, logsSignal)
	marshaler := plog.ProtoMarshaler{}
	for _, body := range []any{"x", nested(20), []any{1.5, []any{"taro@example.com"}}, map[string]any{"password": "x"}} {
		data, record := oneRecord(recorder, body, map[string]any{"a": body})
		record.SetSeverityNumber(25)
		encoded, err := marshaler.MarshalLogs(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		data, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(encoded)
		if err != nil {
			return
		}
		if left, err := g.logs(as("streaming"), data); err == nil {
			for _, resource := range left.ResourceLogs().All() {
				for _, scope := range resource.ScopeLogs().All() {
					for _, record := range scope.LogRecords().All() {
						if number := record.SeverityNumber(); number < 0 || number > 24 {
							t.Fatalf("severity %d passed", number)
						}
					}
				}
			}
			if _, err := marshaler.MarshalLogs(left); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzCatalogue(f *testing.F) {
	f.Add([]byte("layers: {}"))
	f.Add([]byte("layers: {a: {signals: [metrics], budget: {series: 1, client_series: 1}}}\nclients: {a: [a]}"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		if made, err := parse(content); (made == nil) == (err == nil) {
			panic("neither a catalogue nor a mistake")
		}
	})
}
