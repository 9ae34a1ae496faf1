package gate

import (
	"testing"

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
		gauge(recorder, "x.y", "1", map[string]any{"a": "b", "c": 1.5, "d": true}), benchPoints(20),
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
				for _, m := range scope.Metrics().All() {
					if g.catalogue.Load().metrics.matchMetric(m.Name()) || !metricName(m.Name()) {
						t.Fatalf("metric %q passed", m.Name())
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

func FuzzTraces(f *testing.F) {
	g := newGate(f, tracesSignal)
	marshaler := ptrace.ProtoMarshaler{}
	data, span := oneSpan(apiResource, "GET /v1/works/{id}", map[string]any{"http.route": "/v1/works/{id}", "url.path": "/x?mail=a@example.com"})
	span.Events().AppendEmpty().Attributes().PutStr("exception.message", "x")
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
		data, _ := oneRecord(recorder, body, map[string]any{"a": body})
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
