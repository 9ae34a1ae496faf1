package gate

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const benchItems = 1000

// points is a request of many points: resources of 20, as devices send them.
func benchPoints(perResource int) pmetric.Metrics {
	data := pmetric.NewMetrics()
	for made := 0; made < benchItems; {
		each := data.ResourceMetrics().AppendEmpty()
		id := fmt.Sprintf("dev-%04d", made/perResource)
		put(each.Resource().Attributes(), with(deviceResource, map[string]any{"layer": "device", "device_id": id, "service.instance.id": id}))
		scope := each.ScopeMetrics().AppendEmpty()
		scope.Scope().SetName("com.example.device.agent")
		m := scope.Metrics().AppendEmpty()
		m.SetName("device.state")
		m.SetUnit("{state}")
		m.SetEmptyGauge()
		for range perResource {
			p := m.Gauge().DataPoints().AppendEmpty()
			p.SetTimestamp(now())
			p.Attributes().PutStr("device.state", []string{"idle", "recording", "charging"}[made%3])
			made++
		}
	}
	return data
}

// rawIDs puts back what the gate has hashed or taken away: the devices' own ids, the versions of their libraries.
func rawIDs(data pmetric.Metrics) {
	for index, each := range data.ResourceMetrics().All() {
		id := fmt.Sprintf("dev-%04d", index)
		each.Resource().Attributes().PutStr("device_id", id)
		each.Resource().Attributes().PutStr("service.instance.id", id)
		for _, scope := range each.ScopeMetrics().All() {
			scope.Scope().SetVersion("1.4.2")
		}
	}
}

// scoped is a request of many points, in as many scopes for each resource; of one name they differ in their version.
func scoped(count int, oneName bool) pmetric.Metrics {
	data := benchPoints(20)
	for _, each := range data.ResourceMetrics().All() {
		points := each.ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints()
		for made := range count - 1 {
			scope := each.ScopeMetrics().AppendEmpty()
			scope.Scope().SetName("com.example.device.agent")
			scope.SetSchemaUrl(fmt.Sprintf("https://opentelemetry.io/schemas/1.%d.0", made))
			if !oneName {
				scope.Scope().SetName(fmt.Sprintf("com.example.device.part%d", made))
			}
			m := scope.Metrics().AppendEmpty()
			m.SetName("device.state")
			m.SetUnit("{state}")
			moved := m.SetEmptyGauge().DataPoints()
			points.RemoveIf(func(p pmetric.NumberDataPoint) bool {
				if moved.Len() == 20/count {
					return false
				}
				p.MoveTo(moved.AppendEmpty())
				return true
			})
		}
	}
	return data
}

func perItem(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchItems, "ns/item")
}

func BenchmarkMetrics(b *testing.B) {
	for _, size := range []int{20, 1000} {
		b.Run(fmt.Sprintf("points-of-a-resource-%d", size), func(b *testing.B) {
			g := newGate(b, metricsSignal)
			template := benchPoints(size)
			ctx := as("device")
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				rawIDs(template)
				b.StartTimer()
				if err := g.pass(ctx, func(w *walk) int { return w.metrics(template) }); err != nil {
					b.Fatal(err)
				}
			}
			perItem(b)
		})
	}
}

func BenchmarkScopes(b *testing.B) {
	for name, oneName := range map[string]bool{"names-differ": false, "one-name": true} {
		b.Run(name, func(b *testing.B) {
			g := newGate(b, metricsSignal)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				data := scoped(4, oneName)
				b.StartTimer()
				if err := g.pass(as("device"), func(w *walk) int { return w.metrics(data) }); err != nil {
					b.Fatal(err)
				}
			}
			perItem(b)
		})
	}
}

func BenchmarkHistograms(b *testing.B) {
	g := newGate(b, metricsSignal)
	data := pmetric.NewMetrics()
	each := data.ResourceMetrics().AppendEmpty()
	put(each.Resource().Attributes(), apiResource)
	m := each.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("http.server.request.duration")
	m.SetUnit("s")
	m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for index := range benchItems {
		p := m.Histogram().DataPoints().AppendEmpty()
		p.SetTimestamp(now())
		p.ExplicitBounds().FromRaw([]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10})
		p.BucketCounts().FromRaw(make([]uint64, 13))
		put(p.Attributes(), map[string]any{"http.request.method": "GET", "http.route": []string{"/v1/works/{id}", "/v1/works"}[index%2], "http.response.status_code": 200})
	}
	ctx := as("business")
	b.ReportAllocs()
	for b.Loop() {
		if err := g.pass(ctx, func(w *walk) int { return w.metrics(data) }); err != nil {
			b.Fatal(err)
		}
	}
	perItem(b)
}

func BenchmarkSpans(b *testing.B) {
	g := newGate(b, tracesSignal)
	template := ptrace.NewTraces()
	for range benchItems {
		data, _ := oneSpan(apiResource, "GET /v1/works/{id}", map[string]any{
			"http.request.method": "GET", "http.route": "/v1/works/{id}", "http.response.status_code": 200, "url.path": "/v1/works/4711", "worker.id": "W-004711",
		})
		if template.ResourceSpans().Len() == 0 {
			data.MoveTo(template)
			continue
		}
		data.ResourceSpans().At(0).ScopeSpans().At(0).Spans().MoveAndAppendTo(template.ResourceSpans().At(0).ScopeSpans().At(0).Spans())
	}
	ctx := as("business")
	b.ReportAllocs()
	for b.Loop() {
		if err := g.pass(ctx, func(w *walk) int { return w.traces(template) }); err != nil {
			b.Fatal(err)
		}
	}
	perItem(b)
}

func BenchmarkLogs(b *testing.B) {
	for name, format := range map[string]string{
		"json":          `{"event":"recording.failed","segment":%d,"error":{"type":"timeout","after":"30s"},"message":"no answer from the object storage","stage":"store"}`,
		"json-japanese": `{"event":"録画失敗","segment":%d,"error":{"種類":"timeout","after":"30s"},"message":"オブジェクトストレージから応答がありません","stage":"保存"}`,
		"json-prefix":   `INFO recorder {"event":"recording.failed","segment":%d,"error":{"type":"timeout","after":"30s"},"stage":"store"}`,
		"ascii":         "segment %d of recording was not stored after 3 attempts: no answer from the object storage, next try in 30 s",
		"japanese":      "録画セグメント %d を保存できませんでした。3 回試行しましたが、オブジェクトストレージから応答がありません",
	} {
		b.Run(name, func(b *testing.B) {
			g := newGate(b, logsSignal)
			ctx := as("business")
			template := plog.NewLogs()
			serial := 0
			records := func() {
				template = plog.NewLogs()
				each := template.ResourceLogs().AppendEmpty()
				put(each.Resource().Attributes(), apiResource)
				rows := each.ScopeLogs().AppendEmpty().LogRecords()
				rows.EnsureCapacity(benchItems)
				for range benchItems {
					serial++
					record := rows.AppendEmpty()
					record.SetTimestamp(now())
					record.SetSeverityText("WARN")
					record.Body().SetStr(fmt.Sprintf(format, serial)) // no body comes twice
					record.Attributes().PutStr("error.type", "timeout")
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				records()
				b.StartTimer()
				if err := g.pass(ctx, func(w *walk) int { return w.logs(template) }); err != nil {
					b.Fatal(err)
				}
			}
			perItem(b)
		})
	}
}
