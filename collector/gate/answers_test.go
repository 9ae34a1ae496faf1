package gate

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func with(resource map[string]any, changes map[string]any) map[string]any {
	made := map[string]any{}
	for key, value := range resource {
		made[key] = value
	}
	for key, value := range changes {
		if value == nil {
			delete(made, key)
		} else {
			made[key] = value
		}
	}
	return made
}

// refusedFor checks that a request was refused as a whole: the client's code, one clear line, and the count.
func refusedFor(t *testing.T, g gateTest, err error, layer string, why reason) {
	t.Helper()
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("answer is %v, want InvalidArgument", err)
	}
	message := status.Convert(err).Message()
	if !strings.Contains(message, reasonNames[why]) || strings.Contains(message, "\n") {
		t.Errorf("answer %q does not name %s in one line", message, reasonNames[why])
	}
	if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": reasonNames[why], "layer": layer}); got == 0 {
		t.Errorf("no item was counted as %s of layer %s", reasonNames[why], layer)
	}
}

func TestAMetricThatMayNotPassIsRefusedAndTheClientIsTold(t *testing.T) {
	type request struct {
		user     string
		resource map[string]any
		metric   string
		unit     string
		point    map[string]any
		edit     func(pmetric.Metric)
		layer    string
		why      reason
	}
	known := deviceResource
	for name, r := range map[string]request{
		"no user":                {user: "", why: clientUnknown, layer: "none"},
		"a user of nobody":       {user: "scrape", why: clientUnknown, layer: "none"},
		"an agent without layer": {user: "agent", why: layerMissing, layer: "none"},
		"a foreign layer":        {resource: with(known, map[string]any{"layer": "business"}), why: layerForeign, layer: "none"},
		"an unknown layer":       {resource: with(known, map[string]any{"layer": "Device"}), why: layerUnknown, layer: "none"},
		"a layer that is a list": {resource: with(known, map[string]any{"layer": []any{"device"}}), why: layerUnknown, layer: "none"},
		"no service":             {resource: with(known, map[string]any{"service.name": nil}), why: serviceMissing},
		"a service that is none": {resource: with(known, map[string]any{"service.name": 7}), why: serviceMissing},
		"an unknown service":     {resource: with(known, map[string]any{"service.name": "other"}), why: serviceUnknown},
		"the platform's service": {resource: with(known, map[string]any{"service.name": "kafka"}), why: serviceReserved},
		"the same in disguise":   {resource: with(known, map[string]any{"service.name": "Ｋafka\u200b "}), why: serviceReserved},
		"no device":              {resource: with(known, map[string]any{"device_id": nil}), why: attributeRequired},
		"an empty device":        {resource: with(known, map[string]any{"device_id": ""}), why: attributeRequired},
		"an unknown metric":      {metric: "device.other", why: metricUnknown},
		"the platform's metric":  {metric: "kafka_controller_kafkacontroller_offlinepartitionscount", why: metricUnknown},
		"another unit":           {unit: "ms", why: metricUnit},
		"another kind":           {metric: "device.delivery.frames", unit: "{frame}", why: metricKind},
		"a label of the gate":    {point: map[string]any{"layer": "business"}, why: attributeUnknown},
		"an unknown label":       {point: map[string]any{"foo": "bar"}, why: attributeUnknown},
		"a value not allowed":    {metric: "device.state", unit: "{state}", point: map[string]any{"device.state": "flying"}, why: attributeValue},
		"a value of no text":     {metric: "device.state", unit: "{state}", point: map[string]any{"device.state": []any{"idle"}}, why: attributeValue},
		"no time":                {edit: func(m pmetric.Metric) { m.Gauge().DataPoints().At(0).SetTimestamp(0) }, why: timeRefused},
		"a far future": {edit: func(m pmetric.Metric) {
			m.Gauge().DataPoints().At(0).SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(time.Hour)))
		}, why: timeRefused},
		"a time before 1970": {edit: func(m pmetric.Metric) { m.Gauge().DataPoints().At(0).SetTimestamp(1 << 63) }, why: timeRefused},
		"a time long past": {edit: func(m pmetric.Metric) {
			m.Gauge().DataPoints().At(0).SetTimestamp(pcommon.NewTimestampFromTime(time.Now().AddDate(0, -1, 0)))
		}, why: timeRefused},
		"delta": {metric: "device.delivery.frames", unit: "{frame}", edit: func(m pmetric.Metric) {
			sum := m.SetEmptySum()
			sum.SetIsMonotonic(true)
			sum.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
			sum.DataPoints().AppendEmpty().SetTimestamp(now())
		}, why: metricTemporality},
		"open: a rule's name":        {user: "streaming", metric: "layer:up:rate5m", why: metricReserved, layer: "streaming"},
		"open: the platform's":       {user: "streaming", metric: "kafka.controller.offline", why: metricReserved, layer: "streaming"},
		"open: the same, two dots":   {user: "streaming", metric: "kafka..controller", why: metricReserved, layer: "streaming"},
		"open: a suffix makes it":    {user: "streaming", metric: "target", why: metricReserved, layer: "streaming"},
		"open: up":                   {user: "streaming", metric: "up", why: metricReserved, layer: "streaming"},
		"open: a mail as name":       {user: "streaming", metric: "ping.10.20.30.40", why: metricReserved, layer: "streaming"},
		"open: label job":            {user: "streaming", metric: "x.y", point: map[string]any{"job": "kafka"}, why: attributeReserved, layer: "streaming"},
		"open: label device.id":      {user: "streaming", metric: "x.y", point: map[string]any{"device.id": "1"}, why: attributeReserved, layer: "streaming"},
		"open: label __name__":       {user: "streaming", metric: "x.y", point: map[string]any{"__name__": "up"}, why: attributeReserved, layer: "streaming"},
		"open: label ..name..":       {user: "streaming", metric: "x.y", point: map[string]any{"..name..": "up"}, why: attributeReserved, layer: "streaming"},
		"open: label _":              {user: "streaming", metric: "x.y", point: map[string]any{"_": "1"}, why: attributeReserved, layer: "streaming"},
		"open: label -":              {user: "streaming", metric: "x.y", point: map[string]any{"-": "1"}, why: attributeReserved, layer: "streaming"},
		"open: a password":           {user: "streaming", metric: "x.y", point: map[string]any{"db.password": "x"}, why: attributeSensitive, layer: "streaming"},
		"open: a map as a label":     {user: "streaming", metric: "x.y", point: map[string]any{"m": map[string]any{"a": 1}}, why: attributeValue, layer: "streaming"},
		"open: the platform service": {user: "streaming", resource: map[string]any{"service.name": "kafka-exporter"}, why: serviceReserved, layer: "streaming"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, metricsSignal)
			if r.user == "" && name != "no user" {
				r.user = "device"
			}
			if r.layer == "" {
				r.layer = "device"
			}
			if r.resource == nil {
				if r.resource = known; r.layer == "streaming" {
					r.resource = map[string]any{"service.name": "recorder"}
				}
			}
			if r.metric == "" {
				r.metric = "device.connected"
				if r.unit == "" {
					r.unit = "{connection}"
				}
			}
			data := gauge(r.resource, r.metric, r.unit, r.point)
			if r.edit != nil {
				r.edit(data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0))
			}
			ctx := as(r.user)
			if r.user == "" {
				ctx = context.Background()
			}
			_, err := g.metrics(ctx, data)
			refusedFor(t, g, err, r.layer, r.why)
			if left := data.DataPointCount(); left != 0 {
				t.Errorf("%d points are left", left)
			}
		})
	}
}

func TestMetricsMayBeLessOldThanOtherSignals(t *testing.T) {
	for past, refused := range map[time.Duration]bool{0: false, 2 * time.Hour: true, 4 * time.Hour: false} {
		g := newGate(t, metricsSignal, func(c *catalogue) { c.limits.MetricsPast = past })
		data := gauge(deviceResource, "device.connected", "{connection}", nil)
		point := data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0)
		point.SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-3 * time.Hour)))
		_, err := g.metrics(as("device"), data)
		if refused {
			refusedFor(t, g, err, "device", timeRefused)
		} else if err != nil {
			t.Errorf("three hours old, %s allowed: %s", past, err)
		}
	}
}

func TestAResourceWithTooManyAttributesIsRefusedBeforeAnyOfThemIsRead(t *testing.T) {
	g := newGate(t, metricsSignal)
	data := gauge(deviceResource, "device.connected", "{connection}", nil)
	attributes := data.ResourceMetrics().At(0).Resource().Attributes()
	for index := range 100 {
		attributes.PutStr(strings.Repeat("k", index+1), "v")
	}
	_, err := g.metrics(as("device"), data)
	refusedFor(t, g, err, "none", attributeCount)
}

// Every record of a resource repeats its attributes where it is stored.
func TestAResourceWithTooLargeAttributesIsRefusedWithAllItsItems(t *testing.T) {
	g := newGate(t, logsSignal)
	for name, each := range map[string]struct {
		value any
		why   reason
	}{
		"a text":      {strings.Repeat("x", 70<<10), sizeRefused},
		"many values": {[]any{strings.Repeat("x", 40<<10), strings.Repeat("y", 40<<10)}, sizeRefused},
		"too deep":    {nested(17), depthRefused},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": reasonNames[each.why]})
			data, record := oneRecord(with(apiResource, map[string]any{"host.name": each.value}), "x", nil)
			for range 9 {
				record.CopyTo(data.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().AppendEmpty())
			}
			_, err := g.logs(as("business"), data)
			refusedFor(t, g, err, "none", each.why)
			if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": reasonNames[each.why]}) - before; got != 10 {
				t.Errorf("%d records were counted, want 10", got)
			}
		})
	}
	data, _ := oneRecord(with(apiResource, map[string]any{"host.name": strings.Repeat("x", 60<<10)}), "x", nil)
	if _, err := g.logs(as("business"), data); err != nil {
		t.Errorf("60 KiB: %v", err)
	}
}

func TestALayerIsFilledInForItsOwnClient(t *testing.T) {
	g := newGate(t, metricsSignal)
	data, err := g.metrics(as("device"), gauge(deviceResource, "device.connected", "{connection}", nil))
	if err != nil {
		t.Fatal(err)
	}
	layer, _ := data.ResourceMetrics().At(0).Resource().Attributes().Get("layer")
	if layer.Str() != "device" {
		t.Errorf("layer is %q", layer.Str())
	}
}

func TestIDsBecomeTheHashThatThePlatformComputes(t *testing.T) {
	g := newGate(t, metricsSignal)
	data, err := g.metrics(as("device"), gauge(deviceResource, "device.connected", "{connection}", nil))
	if err != nil {
		t.Fatal(err)
	}
	// components.masking.pseudonym("dev-0001", "0123456789abcdef0123456789abcdef")
	const want = "d25f09824e0953c6ee1453a962d058109a7c911887aa3dee1d68e17f67b1e2ca"
	attributes := data.ResourceMetrics().At(0).Resource().Attributes()
	for _, key := range []string{"device_id", "service.instance.id"} {
		if value, _ := attributes.Get(key); value.Str() != want {
			t.Errorf("%s is %q, want %q", key, value.Str(), want)
		}
	}
}

func TestPartOfARequestIsRefusedCountedAndTheRestPasses(t *testing.T) {
	g := newGate(t, metricsSignal)
	data := gauge(deviceResource, "device.connected", "{connection}", nil)
	gauge(with(deviceResource, map[string]any{"layer": "business"}), "device.connected", "{connection}", nil).ResourceMetrics().MoveAndAppendTo(data.ResourceMetrics())
	left, err := g.metrics(as("device"), data)
	if err != nil {
		t.Fatal(err)
	}
	if left.DataPointCount() != 1 || left.ResourceMetrics().Len() != 1 {
		t.Errorf("%d points are left, want 1", left.DataPointCount())
	}
	if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "layer_foreign"}); got != 1 {
		t.Errorf("%d points were counted, want 1", got)
	}
	if got := g.counted(t, "otelcol_gate_accepted_items", map[string]string{"layer": "device", "signal": "metrics"}); got != 1 {
		t.Errorf("%d points of the device were accepted, want 1", got)
	}
	if got := g.counted(t, "otelcol_gate_accepted_items", nil); got != 1 {
		t.Errorf("%d points were accepted, want 1", got)
	}
}

func TestAnEmptyRequestIsNoError(t *testing.T) {
	g := newGate(t, metricsSignal)
	if err := g.pass(as("device"), func(w *walk) int { return w.metrics(pmetric.NewMetrics()) }); status.Code(err) == codes.InvalidArgument {
		t.Error(err)
	}
}

func TestUnknownResourceAttributesAndScopesGo(t *testing.T) {
	g := newGate(t, metricsSignal)
	data := gauge(with(deviceResource, map[string]any{"host.ip": "10.0.0.1", "user.name": "x", "service.version": "1.2.3.4"}), "device.connected", "{connection}", nil)
	each := data.ResourceMetrics().At(0)
	each.SetSchemaUrl("https://x/?tel=090-1234-5678")
	each.ScopeMetrics().At(0).SetSchemaUrl("https://opentelemetry.io/schemas/1.37.0")
	each.ScopeMetrics().At(0).Scope().Attributes().PutStr("owner", "x")
	m := each.ScopeMetrics().At(0).Metrics().At(0)
	m.SetDescription("call Mr. Smith")
	m.Metadata().PutStr("a", "b")
	exemplar := m.Gauge().DataPoints().At(0).Exemplars().AppendEmpty()
	exemplar.SetDoubleValue(1)
	exemplar.FilteredAttributes().PutStr("user", "x")
	data, err := g.metrics(as("device"), data)
	if err != nil {
		t.Fatal(err)
	}
	each = data.ResourceMetrics().At(0)
	m = each.ScopeMetrics().At(0).Metrics().At(0)
	if got := each.Resource().Attributes().Len(); got != 5 {
		t.Errorf("%d resource attributes are left, want 5", got)
	}
	if each.SchemaUrl() != "" || each.ScopeMetrics().At(0).SchemaUrl() != "" || each.ScopeMetrics().At(0).Scope().Attributes().Len() != 0 {
		t.Error("schema or scope")
	}
	if m.Description() != "1 while connected" || m.Metadata().Len() != 0 || m.Gauge().DataPoints().At(0).Exemplars().At(0).FilteredAttributes().Len() != 0 {
		t.Error("description, metadata or exemplar")
	}
	if got := g.counted(t, "otelcol_gate_dropped_attributes", map[string]string{"reason": "attribute_unknown"}); got != 3 {
		t.Errorf("%d attributes were counted, want 3", got)
	}
}

func TestAnOpenLayerMayNameOtherMetrics(t *testing.T) {
	g := newGate(t, metricsSignal)
	data, err := g.metrics(as("streaming"), gauge(recorder, "encoder.frames", "1", map[string]any{"codec": "h264", "user.id": "u-1"}))
	if err != nil {
		t.Fatal(err)
	}
	attributes := data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0).Attributes()
	if codec, _ := attributes.Get("codec"); codec.Str() != "h264" {
		t.Errorf("codec is %q", codec.Str())
	}
	if id, _ := attributes.Get("user.id"); len(id.Str()) != 64 {
		t.Errorf("user.id is %q", id.Str())
	}
}

func TestBudgetsOfSeriesHold(t *testing.T) {
	g := newGate(t, metricsSignal)
	send := func(instance, codec string) error {
		_, err := g.metrics(as("streaming"), gauge(with(recorder, map[string]any{"service.instance.id": instance}), "encoder.frames", "1", map[string]any{"codec": codec}))
		return err
	}
	passed := 0
	for index := range 600 {
		if send("one", "c"+strings.Repeat("x", index%50)+string(rune('a'+index/50))) == nil {
			passed++
		}
	}
	// Hashes of two series may meet in the tables.
	const met = 4
	first := passed
	if first < 499-met || first > 499+met { // and its target_info
		t.Errorf("%d series of one client passed, want 499", first)
	}
	if send("one", "ca") != nil {
		t.Error("a known series was refused")
	}
	for index := range 2000 {
		if send("i"+strings.Repeat("y", index%100)+string(rune('a'+index/100)), "z") == nil {
			passed++
		}
	}
	if passed < 749-met || passed > 749+met {
		t.Errorf("%d series of the layer passed, want 749: each of 250 further clients has a target_info", passed)
	}
	if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "series_budget"}); got != int64(2000-(passed-first)) {
		t.Errorf("%d counted over the layer's budget, want %d", got, 2000-(passed-first))
	}
	if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "client_budget"}); got != int64(600-first) {
		t.Errorf("%d counted over the client's budget, want %d", got, 600-first)
	}
}

// Prometheus answers 500 to the shapes that are refused here: the consumer would send them again for ever.
func TestAnExponentialHistogramThatPrometheusCannotStoreIsRefused(t *testing.T) {
	type point = pmetric.ExponentialHistogramDataPoint
	sound := func(p point) {
		p.SetScale(3)
		p.SetCount(10)
		p.SetZeroCount(1)
		p.Positive().SetOffset(-7)
		p.Positive().BucketCounts().FromRaw([]uint64{2, 0, 3})
		p.Negative().BucketCounts().FromRaw([]uint64{4})
	}
	for name, each := range map[string]struct {
		edit    func(point)
		refused bool
	}{
		"sound":                     {func(point) {}, false},
		"empty":                     {func(p point) { pmetric.NewExponentialHistogramDataPoint().CopyTo(p); p.SetTimestamp(now()) }, false},
		"lowest scale":              {func(p point) { p.SetScale(-4) }, false},
		"scale too low":             {func(p point) { p.SetScale(-5) }, true},
		"highest scale":             {func(p point) { p.SetScale(20) }, false},
		"scale too high":            {func(p point) { p.SetScale(21) }, true},
		"more than in buckets":      {func(p point) { p.SetCount(11) }, true},
		"not a number among them":   {func(p point) { p.SetCount(11); p.SetSum(math.NaN()) }, false},
		"less than in buckets":      {func(p point) { p.SetCount(9) }, true},
		"less, and not a number":    {func(p point) { p.SetCount(9); p.SetSum(math.NaN()) }, true},
		"less than zeros":           {func(p point) { p.SetZeroCount(11) }, true},
		"a count without buckets":   {func(p point) { p.Positive().BucketCounts().FromRaw(nil); p.Negative().BucketCounts().FromRaw(nil) }, true},
		"buckets without a count":   {func(p point) { p.SetCount(0) }, true},
		"a sum beyond 64 bits":      {func(p point) { p.Positive().BucketCounts().FromRaw([]uint64{1 << 63, 1 << 63, 5}) }, true},
		"a count beyond int64":      {func(p point) { p.SetCount(1<<63 + 5); p.Positive().BucketCounts().FromRaw([]uint64{1 << 63}) }, true},
		"the highest index":         {func(p point) { p.Positive().SetOffset(math.MaxInt32 - 3) }, false},
		"an index too high":         {func(p point) { p.Positive().SetOffset(math.MaxInt32 - 2) }, true},
		"an index too high, below":  {func(p point) { p.Negative().SetOffset(math.MaxInt32) }, true},
		"the lowest index":          {func(p point) { p.Negative().SetOffset(math.MinInt32) }, false},
		"more buckets than allowed": {func(p point) { p.Positive().BucketCounts().FromRaw(append(make([]uint64, 400), 5)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, metricsSignal)
			data := gauge(recorder, "x.y", "", nil)
			made := data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).SetEmptyExponentialHistogram()
			made.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := made.DataPoints().AppendEmpty()
			p.SetTimestamp(now())
			sound(p)
			each.edit(p)
			_, err := g.metrics(as("streaming"), data)
			if each.refused {
				refusedFor(t, g, err, "streaming", metricShape)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Prometheus answers 500 to an exemplar that has no value.
func TestAnExemplarWithoutAValueGoes(t *testing.T) {
	g := newGate(t, metricsSignal)
	data := gauge(recorder, "x.y", "", nil)
	made := data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).SetEmptySum()
	made.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := made.DataPoints().AppendEmpty()
	p.SetTimestamp(now())
	p.Exemplars().AppendEmpty().SetTraceID([16]byte{1})
	p.Exemplars().AppendEmpty().SetIntValue(7)
	if _, err := g.metrics(as("streaming"), data); err != nil {
		t.Fatal(err)
	}
	if exemplars := p.Exemplars(); exemplars.Len() != 1 || exemplars.At(0).IntValue() != 7 {
		t.Errorf("%d exemplars are left, want the one with a value", exemplars.Len())
	}
}

// rising are bounds of a histogram or quantiles of a summary.
func rising(count int, last float64) []float64 {
	made := make([]float64, 0, count)
	for index := range count - 1 {
		made = append(made, float64(index)/1000)
	}
	return append(made, last)
}

func TestWhatMakesASeriesInPrometheusCounts(t *testing.T) {
	metric := func(resource map[string]any, edit func(pmetric.Metric)) pmetric.Metrics {
		data := gauge(resource, "x.y", "", nil)
		if edit != nil {
			edit(data.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0))
		}
		return data
	}
	histogram := func(bounds ...float64) pmetric.Metrics {
		return metric(recorder, func(m pmetric.Metric) {
			made := m.SetEmptyHistogram()
			made.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := made.DataPoints().AppendEmpty()
			p.SetTimestamp(now())
			p.ExplicitBounds().FromRaw(bounds)
			p.BucketCounts().FromRaw(make([]uint64, len(bounds)+1))
		})
	}
	exponential := func(scale int32) pmetric.Metrics {
		return metric(recorder, func(m pmetric.Metric) {
			made := m.SetEmptyExponentialHistogram()
			made.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			p := made.DataPoints().AppendEmpty()
			p.SetTimestamp(now())
			p.SetScale(scale)
			p.SetCount(uint64(scale))
			p.Positive().BucketCounts().FromRaw([]uint64{uint64(scale)})
		})
	}
	summary := func(quantiles ...float64) pmetric.Metrics {
		return metric(recorder, func(m pmetric.Metric) {
			p := m.SetEmptySummary().DataPoints().AppendEmpty()
			p.SetTimestamp(now())
			for _, quantile := range quantiles {
				p.QuantileValues().AppendEmpty().SetQuantile(quantile)
			}
		})
	}
	unit := func(unit string) pmetric.Metrics {
		return metric(recorder, func(m pmetric.Metric) { m.SetUnit(unit) })
	}
	host := func(value any) pmetric.Metrics {
		return metric(with(recorder, map[string]any{"host.name": value}), nil)
	}
	scope := func(name, version string) pmetric.Metrics {
		data := metric(recorder, nil)
		data.ResourceMetrics().At(0).ScopeMetrics().At(0).Scope().SetName(name)
		data.ResourceMetrics().At(0).ScopeMetrics().At(0).Scope().SetVersion(version)
		return data
	}
	instance := func(id any) pmetric.Metrics {
		return metric(with(recorder, map[string]any{"service.instance.id": id}), nil)
	}
	counter := metric(recorder, func(m pmetric.Metric) {
		made := m.SetEmptySum()
		made.SetIsMonotonic(true)
		made.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		made.DataPoints().AppendEmpty().SetTimestamp(now())
	})
	refused := metric(recorder, func(m pmetric.Metric) { m.SetName("up") })
	const target = 1
	for name, each := range map[string]struct {
		sent []pmetric.Metrics
		want int64
	}{
		"bounds":              {[]pmetric.Metrics{histogram(1, 2), histogram(1, 3), histogram(1, 2)}, target + 5 + 5},
		"a bound more":        {[]pmetric.Metrics{histogram(), histogram(rising(150, 1)...)}, target + 3 + 153},
		"a bound of zero":     {[]pmetric.Metrics{histogram(1), histogram(0, 1)}, target + 4 + 5},
		"exponential buckets": {[]pmetric.Metrics{exponential(1), exponential(2)}, target + 1},
		"quantiles":           {[]pmetric.Metrics{summary(0.5, 0.9), summary(0.5, 0.99), summary(0.9, 0.5)}, target + 4 + 4},
		"a quantile more":     {[]pmetric.Metrics{summary(), summary(rising(100, 1)...)}, target + 2 + 102},
		"units":               {[]pmetric.Metrics{unit("By"), unit("s"), unit("By")}, target + 2},
		"kinds":               {[]pmetric.Metrics{metric(recorder, nil), counter}, target + 2},
		"resource attributes": {[]pmetric.Metrics{host("a"), host("b"), host(1), host([]any{"a"}), host([]any{"b"}), host("a")}, 5*target + 1},
		"names of scopes":     {[]pmetric.Metrics{metric(recorder, nil), scope("a", ""), scope("b", ""), scope("a", "")}, target + 3},
		"versions of a scope": {[]pmetric.Metrics{scope("a", "1.0.0"), scope("a", "1.1.0")}, target + 1},
		"instances":           {[]pmetric.Metrics{instance("a"), instance(1), instance(2)}, 3*target + 3},
		"nothing let in":      {[]pmetric.Metrics{refused}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, metricsSignal)
			for _, data := range each.sent {
				if _, err := g.metrics(as("streaming"), data); err != nil && each.want > 0 {
					t.Fatal(err)
				}
			}
			if got := g.series(g.catalogue.Load().layers["streaming"]).count(); got != each.want {
				t.Errorf("%d series are counted, want %d", got, each.want)
			}
		})
	}
}

func TestAResourceWhoseTargetInfoExceedsABudgetIsRefused(t *testing.T) {
	g := newGate(t, metricsSignal)
	send := func(host int) error {
		_, err := g.metrics(as("streaming"), gauge(with(recorder, map[string]any{"host.name": host}), "x.y", "", nil))
		return err
	}
	for host := range 499 {
		if err := send(host); err != nil {
			t.Fatalf("host %d: %v", host, err)
		}
	}
	refusedFor(t, g, send(499), "streaming", clientBudget)
	if err := send(0); err != nil {
		t.Errorf("a known resource: %v", err)
	}
}

func TestWhatIsNotSeenForTwoWindowsMakesRoom(t *testing.T) {
	start := time.Now()
	s := newSketch(2, 0, time.Minute, start)
	admit := func(h uint64, want verdict) {
		t.Helper()
		if got := s.admit(mix(h), 0, 1); got != want {
			t.Errorf("series %d: %d, want %d", h, got, want)
		}
	}
	admit(1, within)
	admit(2, within)
	admit(3, overBudget)
	s.rotate(start.Add(61 * time.Second))
	admit(1, within)
	admit(3, overBudget)
	s.rotate(start.Add(122 * time.Second))
	admit(3, within)
	admit(2, overBudget)
	if got := s.count(); got != 2 {
		t.Errorf("count is %d, want 2", got)
	}
}

func TestSpanNamesBeyondTheBudgetBecomeOther(t *testing.T) {
	g := newGate(t, tracesSignal)
	names := map[string]int{}
	for _, name := range []string{"GET /a", "GET /b", "GET /c", "GET /d", "GET /e", "GET /a"} {
		data, _ := oneSpan(apiResource, name, nil)
		data, err := g.traces(as("business"), data)
		if err != nil {
			t.Fatal(err)
		}
		names[data.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name()]++
	}
	if names["other"] != 2 || names["GET /a"] != 2 || len(names) != 4 {
		t.Errorf("names are %v", names)
	}
}

func TestTypedAttributesOfASpanAreValidatedAndOthersGo(t *testing.T) {
	g := newGate(t, tracesSignal)
	data, span := oneSpan(apiResource, "GET /v1/works/{id}", map[string]any{
		"http.request.method": "GET", "http.response.status_code": 200, "http.route": "/v1/works/{id}", "url.path": "/users/yamada-taro/videos",
		"worker.id": 4711, "other": "x", "exception.escaped": "false", "error.type": "taro@example.com",
	})
	if _, err := g.traces(as("business"), data); err != nil {
		t.Fatal(err)
	}
	got := span.Attributes().AsRaw()
	want := map[string]any{
		"http.request.method": "GET", "http.response.status_code": int64(200), "http.route": "/v1/works/{id}", "url.path": "/users/[name]/videos",
		"exception.escaped": "false", "error.type": "[mail]", "worker.id": g.ids.of("4711"),
	}
	if len(got) != len(want) {
		t.Errorf("attributes are %v", got)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %v, want %v", key, got[key], value)
		}
	}
}

func nested(depth int) any {
	value := any("x")
	for range depth {
		value = map[string]any{"k": value}
	}
	return value
}

func TestBadLogRecordsAreRefused(t *testing.T) {
	g := newGate(t, logsSignal)
	for name, each := range map[string]struct {
		body any
		why  reason
	}{
		"too deep":  {nested(17), depthRefused},
		"too large": {map[string]any{"a": strings.Repeat("x", 200<<10), "b": strings.Repeat("x", 100<<10)}, sizeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			data, _ := oneRecord(apiResource, each.body, nil)
			_, err := g.logs(as("business"), data)
			refusedFor(t, g, err, "business", each.why)
		})
	}
	data, record := oneRecord(apiResource, nested(16), nil)
	if _, err := g.logs(as("business"), data); err != nil || record.Body().Type() != pcommon.ValueTypeMap {
		t.Errorf("sixteen levels: %v, %v", err, record.Body().Type())
	}
}

// The index has 16 bits for a severity, and 31 for the flags of a span.
func TestNumbersThatTheIndexCannotHoldAreMended(t *testing.T) {
	g := newGate(t, logsSignal)
	for sent, want := range map[plog.SeverityNumber]plog.SeverityNumber{0: 0, 1: 1, 24: 24, 25: 0, -1: 0, 40_000: 0, math.MaxInt32: 0, math.MinInt32: 0} {
		before := g.counted(t, "otelcol_gate_dropped_attributes", map[string]string{"reason": "attribute_value", "layer": "business"})
		data, record := oneRecord(apiResource, "x", nil)
		record.SetSeverityNumber(sent)
		if _, err := g.logs(as("business"), data); err != nil {
			t.Fatal(err)
		}
		if got := record.SeverityNumber(); got != want {
			t.Errorf("severity %d became %d, want %d", sent, got, want)
		}
		after := g.counted(t, "otelcol_gate_dropped_attributes", map[string]string{"reason": "attribute_value", "layer": "business"})
		if counted := after > before; counted != (sent != want) {
			t.Errorf("severity %d: counted %v", sent, counted)
		}
	}
	g = newGate(t, tracesSignal)
	data, span := oneSpan(apiResource, "GET /v1/works/{id}", nil)
	link := span.Links().AppendEmpty()
	span.SetFlags(math.MaxUint32)
	link.SetFlags(1<<31 | 0x301)
	if _, err := g.traces(as("business"), data); err != nil {
		t.Fatal(err)
	}
	if span.Flags() != 0x3ff || link.Flags() != 0x301 {
		t.Errorf("flags are %#x, of the link %#x", span.Flags(), link.Flags())
	}
}

func TestALongTextIsCutAndInvalidTextIsMended(t *testing.T) {
	g := newGate(t, logsSignal)
	data, record := oneRecord(apiResource, strings.Repeat("あ", 30_000), map[string]any{"note": "a\xffb"})
	if _, err := g.logs(as("business"), data); err != nil {
		t.Fatal(err)
	}
	if size := len(record.Body().Str()); size > 64<<10 || size < 64<<10-3 {
		t.Errorf("body has %d bytes", size)
	}
	if note, _ := record.Attributes().Get("note"); note.Str() != "a\uFFFDb" {
		t.Errorf("note is %q", note.Str())
	}
}

func TestAKeyThatStandsTwiceIsTakenOnce(t *testing.T) {
	g := newGate(t, logsSignal)
	unmarshaled, record := oneRecord(apiResource, "x", map[string]any{"note": "first"})
	record.Attributes().EnsureCapacity(2)
	twice(record.Attributes(), "note", "second")
	if record.Attributes().Len() != 2 {
		t.Fatal("the map has no key twice")
	}
	if _, err := g.logs(as("business"), unmarshaled); err != nil {
		t.Fatal(err)
	}
	if value, _ := record.Attributes().Get("note"); record.Attributes().Len() != 1 || value.Str() != "first" {
		t.Errorf("attributes are %v", record.Attributes().AsRaw())
	}
}

// twice appends a key that is there, as the wire allows.
func twice(attributes pcommon.Map, key, value string) {
	attributes.PutStr("~", value)
	for name := range attributes.All() {
		if name == "~" {
			break
		}
	}
	other := pcommon.NewMap()
	other.PutStr(key, value)
	merged := pmetricAttributes(attributes, other)
	merged.MoveTo(attributes)
}

func pmetricAttributes(first, second pcommon.Map) pcommon.Map {
	// Two lists of attributes, written one after the other, are one list on the wire.
	encode := func(m pcommon.Map) []byte {
		data := pmetric.NewMetrics()
		m.CopyTo(data.ResourceMetrics().AppendEmpty().Resource().Attributes())
		data.ResourceMetrics().At(0).Resource().Attributes().Remove("~")
		encoded, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(data)
		if err != nil {
			panic(err)
		}
		return resourceOf(encoded)
	}
	resource := append(encode(first), encode(second)...)
	inner := append([]byte{0x0a, byte(len(resource))}, resource...)
	data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(append([]byte{0x0a, byte(len(inner))}, inner...))
	if err != nil {
		panic(err)
	}
	return data.ResourceMetrics().At(0).Resource().Attributes()
}

// resourceOf takes the resource out of a small encoded request: field 1 of field 1.
func resourceOf(encoded []byte) []byte {
	return append([]byte(nil), encoded[4:4+int(encoded[3])]...)
}

func TestACatalogueWithAMistakeIsNamedInOneLineAndTheOldOneStays(t *testing.T) {
	g := newGate(t, metricsSignal)
	content, err := os.ReadFile(g.config.Catalogue)
	if err != nil {
		t.Fatal(err)
	}
	for change, mistake := range map[string]string{
		"type: id}|type: name}":                        `attribute "device_id": type is "name", allowed is one of number, boolean, enum, version, route, code, id, text`,
		"kind: gauge, description|kind: meter, descri": "",
		"signals: [metrics, logs]|signals: [metric]":   `layer device: signal is "metric", allowed is one of metrics, traces, logs`,
		"device: [device]|device: [devices]":           `client "device": there is no layer "devices"`,
		"attributes: [device.state]|attributes: [job]": `layer device, metric device.state: "job" is not among the attributes`,
		"services: [device-agent]|services: [kafka]":   `layer device: service "kafka" is reserved`,
		"series: 5000|series: 0":                       "layer device: budget needs series and client_series above 0",
	} {
		old, fresh, _ := strings.Cut(change, "|")
		if err := os.WriteFile(g.config.Catalogue, []byte(strings.Replace(string(content), old, fresh, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		before := g.catalogue.Load()
		g.reload(time.Now())
		if g.catalogue.Load() != before {
			t.Errorf("%s: the catalogue was taken into use", change)
		}
		if !strings.Contains(g.refused, mistake) || g.refused == "" || strings.Contains(g.refused, "\n") {
			t.Errorf("%s: told is %q", change, g.refused)
		}
	}
	changed := strings.Replace(string(content), "test-1", "test-2", 1)
	if err := os.WriteFile(g.config.Catalogue, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	g.reload(time.Now())
	if got := g.catalogue.Load().version; got != "test-2" || g.refused != "" {
		t.Errorf("version in use is %s, mistake %q", got, g.refused)
	}
	if g.counted(t, "otelcol_gate_catalogue_reloads", map[string]string{"result": "mistake"}) == 0 {
		t.Error("no mistake was counted")
	}
}

// A receiver of several signals listens as soon as the first of them has started: another's gate may not have yet.
func TestARequestBeforeTheStartIsCheckedLikeAnyOther(t *testing.T) {
	config := defaultConfig().(*Config)
	config.Catalogue, config.HashKey = "testdata/catalogue.yaml", hashKey
	telemetry := componenttest.NewTelemetry()
	set := processor.Settings{TelemetrySettings: telemetry.NewTelemetrySettings()}
	made, err := newCore(set, config, metricsSignal)
	if err != nil {
		t.Fatal(err)
	}
	g := gateTest{made, telemetry}
	_, err = g.metrics(as("device"), gauge(with(deviceResource, map[string]any{"layer": "business"}), "device.connected", "{connection}", nil))
	refusedFor(t, g, err, "none", layerForeign)
	if left, err := g.metrics(as("device"), gauge(deviceResource, "device.connected", "{connection}", nil)); err != nil || left.DataPointCount() != 1 {
		t.Errorf("%d points are left, %v", left.DataPointCount(), err)
	}
	if err := telemetry.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAGateWithoutACatalogueIsNotMade(t *testing.T) {
	for name, content := range map[string]string{"no file": "", "a mistake": "version: ["} {
		config := defaultConfig().(*Config)
		config.Catalogue, config.HashKey = filepath.Join(t.TempDir(), "catalogue.yaml"), hashKey
		if content != "" {
			if err := os.WriteFile(config.Catalogue, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		set := processor.Settings{TelemetrySettings: componenttest.NewNopTelemetrySettings()}
		if _, err := newCore(set, config, logsSignal); err == nil || !strings.Contains(err.Error(), config.Catalogue) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
