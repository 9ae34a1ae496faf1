package attribution

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type identity string

func (i identity) GetAttribute(string) any   { return string(i) }
func (identity) GetAttributeNames() []string { return []string{"username"} }

func as(user string) context.Context {
	if user == "" {
		return context.Background()
	}
	return client.NewContext(context.Background(), client.Info{Auth: identity(user)})
}

const missing = "(missing)"

func name(resource pcommon.Resource, layer string) {
	if layer != missing {
		resource.Attributes().PutStr("layer", layer)
	}
}

func metricsOf(layers ...string) pmetric.Metrics {
	data := pmetric.NewMetrics()
	for _, layer := range layers {
		resource := data.ResourceMetrics().AppendEmpty()
		name(resource.Resource(), layer)
		metrics := resource.ScopeMetrics().AppendEmpty().Metrics()
		metrics.AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
		metrics.AppendEmpty().SetEmptySum().DataPoints().AppendEmpty()
		metrics.AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty()
		metrics.AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
		metrics.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty()
	}
	return data
}

func tracesOf(layers ...string) ptrace.Traces {
	data := ptrace.NewTraces()
	for _, layer := range layers {
		resource := data.ResourceSpans().AppendEmpty()
		name(resource.Resource(), layer)
		resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	}
	return data
}

func logsOf(layers ...string) plog.Logs {
	data := plog.NewLogs()
	for _, layer := range layers {
		resource := data.ResourceLogs().AppendEmpty()
		name(resource.Resource(), layer)
		resource.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	}
	return data
}

type watched struct {
	*attribution
	reader *sdk.ManualReader
	logged *observer.ObservedLogs
}

func started(t *testing.T) watched {
	t.Helper()
	reader := sdk.NewManualReader()
	set := processortest.NewNopSettings(component.MustNewType("attribution"))
	set.MeterProvider = sdk.NewMeterProvider(sdk.WithReader(reader))
	core, logged := observer.New(zap.WarnLevel)
	set.Logger = zap.New(core)
	a, err := newAttribution(set, "metrics")
	if err != nil {
		t.Fatal(err)
	}
	return watched{a, reader, logged}
}

func (w watched) counted(t *testing.T) map[string]int64 {
	t.Helper()
	var read metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &read); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, scope := range read.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				layer, _ := point.Attributes.Value("layer")
				counts[layer.AsString()] += point.Value
			}
		}
	}
	return counts
}

func TestWhatIsNotItsClientsIsRefusedInEverySignal(t *testing.T) {
	for _, c := range []struct {
		user   string
		layers []string
		left   int
		told   bool
	}{
		{"device", []string{"device"}, 1, false},
		{"device", []string{missing}, 1, false},
		{"device", []string{"data"}, 0, true},
		{"device", []string{""}, 0, true},
		{"device", []string{"DEVICE"}, 0, true},
		{"device", []string{"device", "data", missing}, 2, false},
		{"device", []string{"data", "business"}, 0, true},
		{"", []string{"device"}, 0, true},
		{"", []string{missing}, 0, true},
		{"device", nil, 0, false},
	} {
		a := started(t)
		metrics, logs, traces := metricsOf(c.layers...), logsOf(c.layers...), tracesOf(c.layers...)
		_, ofMetrics := a.metrics(as(c.user), metrics)
		_, ofLogs := a.logs(as(c.user), logs)
		_, ofTraces := a.traces(as(c.user), traces)
		for signal, err := range map[string]error{"metrics": ofMetrics, "logs": ofLogs, "traces": ofTraces} {
			if (status.Code(err) == codes.InvalidArgument) != c.told || (err == nil) == c.told {
				t.Errorf("%s of %q by %q: %v", signal, c.layers, c.user, err)
			}
			if c.told && !strings.Contains(err.Error(), "layer_foreign") {
				t.Errorf("%s: the reason is missing: %v", signal, err)
			}
		}
		if left := [3]int{metrics.ResourceMetrics().Len(), logs.ResourceLogs().Len(), traces.ResourceSpans().Len()}; left != [3]int{c.left, c.left, c.left} {
			t.Errorf("%q by %q: %v are left, want %d of each", c.layers, c.user, left, c.left)
		}
		for _, resource := range metrics.ResourceMetrics().All() {
			if layer, ok := resource.Resource().Attributes().Get("layer"); !ok || layer.Str() != c.user {
				t.Errorf("%q by %q: the layer is %v", c.layers, c.user, layer.AsString())
			}
		}
		wantItems := int64(len(c.layers)-c.left) * (5 + 1 + 1)
		counts := a.counted(t)
		if got := counts[map[bool]string{true: c.user, false: "none"}[c.user != ""]]; got != wantItems {
			t.Errorf("%q by %q: %d items are counted, want %d", c.layers, c.user, got, wantItems)
		}
	}
}

func TestALayerThatIsNoTextIsForeign(t *testing.T) {
	a, data := started(t), metricsOf(missing)
	data.ResourceMetrics().At(0).Resource().Attributes().PutEmptySlice("layer").AppendEmpty().SetStr("device")
	if _, err := a.metrics(as("device"), data); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

func TestAnAnswerHasABoundedExample(t *testing.T) {
	_, err := started(t).metrics(as("device"), metricsOf(strings.Repeat("長", 5000)))
	if len(err.Error()) > 600 {
		t.Errorf("the answer has %d bytes", len(err.Error()))
	}
}

func TestItIsLoggedOnceAMinute(t *testing.T) {
	a := started(t)
	now := time.Now()
	a.now = func() time.Time { return now }
	for range 3 {
		_, _ = a.metrics(as("device"), metricsOf("data"))
	}
	if a.logged.Len() != 1 {
		t.Errorf("%d lines", a.logged.Len())
	}
	now = now.Add(reportEvery)
	_, _ = a.metrics(as("device"), metricsOf("data"))
	if a.logged.Len() != 2 {
		t.Errorf("%d lines after a minute", a.logged.Len())
	}
}

func TestTheFactoryMakesAProcessorOfEachSignal(t *testing.T) {
	factory, ctx := NewFactory(), as("device")
	set, config := processortest.NewNopSettings(factory.Type()), factory.CreateDefaultConfig()
	sink := new(consumertest.MetricsSink)
	metrics, err := factory.CreateMetrics(ctx, set, config, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := metrics.ConsumeMetrics(ctx, metricsOf("device")); err != nil || sink.DataPointCount() != 5 {
		t.Error(err, sink.DataPointCount())
	}
	spans, records := new(consumertest.TracesSink), new(consumertest.LogsSink)
	traces, err := factory.CreateTraces(ctx, set, config, spans)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := factory.CreateLogs(ctx, set, config, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := traces.ConsumeTraces(ctx, tracesOf("data")); status.Code(err) != codes.InvalidArgument || spans.SpanCount() != 0 {
		t.Error(err, spans.SpanCount())
	}
	if err := logs.ConsumeLogs(ctx, logsOf(missing)); err != nil || records.LogRecordCount() != 1 {
		t.Error(err, records.LogRecordCount())
	}
}
