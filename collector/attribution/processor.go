// Package attribution is the processor of node agents: what names no layer gets that of who signed in, and what names another
// one is refused there, where its client can be told. The gateway cannot tell it: it sees the agent's own login, and
// several programs share a request.
package attribution

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	layerKey    = "layer"
	reportEvery = time.Minute
	longestName = 64 // of a foreign layer in an answer
)

// Config has nothing: the users of an agent are the layers.
type Config struct{}

// NewFactory makes the factory that the collector is built with.
func NewFactory() processor.Factory {
	return processor.NewFactory(component.MustNewType("attribution"),
		func() component.Config { return &Config{} },
		processor.WithMetrics(newMetrics, component.StabilityLevelStable),
		processor.WithTraces(newTraces, component.StabilityLevelStable),
		processor.WithLogs(newLogs, component.StabilityLevelStable))
}

type attribution struct {
	logger   *zap.Logger
	signal   string
	refused  metric.Int64Counter
	reported atomic.Int64 // nanoseconds since 1970
	now      func() time.Time
}

func newAttribution(set processor.Settings, signal string) (*attribution, error) {
	refused, err := set.MeterProvider.Meter("obs-platform/collector/attribution").Int64Counter("otelcol_attribution_refused_items",
		metric.WithDescription("Data points, spans and log records of resources that name another layer than the one that signed in."),
		metric.WithUnit("{items}"))
	if err != nil {
		return nil, err
	}
	return &attribution{logger: set.Logger, signal: signal, refused: refused, now: time.Now}, nil
}

var options = []processorhelper.Option{processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true})}

func newMetrics(ctx context.Context, set processor.Settings, config component.Config, next consumer.Metrics) (processor.Metrics, error) {
	a, err := newAttribution(set, "metrics")
	if err != nil {
		return nil, err
	}
	return processorhelper.NewMetrics(ctx, set, config, next, a.metrics, options...)
}

func newTraces(ctx context.Context, set processor.Settings, config component.Config, next consumer.Traces) (processor.Traces, error) {
	a, err := newAttribution(set, "traces")
	if err != nil {
		return nil, err
	}
	return processorhelper.NewTraces(ctx, set, config, next, a.traces, options...)
}

func newLogs(ctx context.Context, set processor.Settings, config component.Config, next consumer.Logs) (processor.Logs, error) {
	a, err := newAttribution(set, "logs")
	if err != nil {
		return nil, err
	}
	return processorhelper.NewLogs(ctx, set, config, next, a.logs, options...)
}

// request is what is known of one request.
type request struct {
	user      string
	resources int
	foreign   int
	items     int64 // of foreign resources
	example   string
}

func begin(ctx context.Context) request {
	name := ""
	if info := client.FromContext(ctx); info.Auth != nil {
		name, _ = info.Auth.GetAttribute("username").(string)
	}
	return request{user: name}
}

// foreignTo tells whether a resource names another layer; one that names none gets the client's.
func (r *request) foreignTo(resource pcommon.Resource, items int) bool {
	r.resources++
	named, present := resource.Attributes().Get(layerKey)
	switch {
	case r.user != "" && !present:
		resource.Attributes().PutStr(layerKey, r.user)
		return false
	case r.user != "" && named.Type() == pcommon.ValueTypeStr && named.Str() == r.user:
		return false
	}
	if r.foreign == 0 && present {
		r.example = named.AsString()
	}
	r.foreign++
	r.items += int64(items)
	return true
}

// answer counts what was refused, and tells the client where nothing was left.
func (a *attribution) answer(ctx context.Context, r request) error {
	if r.foreign == 0 {
		return nil
	}
	layer := r.user
	if layer == "" {
		layer = "none"
	}
	a.refused.Add(ctx, r.items, metric.WithAttributes(attribute.String("layer", layer), attribute.String("signal", a.signal)))
	now := a.now().UnixNano()
	if last := a.reported.Load(); now-last >= int64(reportEvery) && a.reported.CompareAndSwap(last, now) {
		a.logger.Warn("resources of another layer than the one that signed in are refused",
			zap.String("layer", layer), zap.String("signal", a.signal), zap.Int("resources", r.foreign))
	}
	if r.foreign < r.resources {
		return nil
	}
	example := []rune(r.example)
	return status.Error(codes.InvalidArgument, fmt.Sprintf(
		"nothing of this request was accepted (%d of %d resources refused): layer_foreign: this user may not speak for the layer"+
			" that the resource attribute `layer` names (%q)", r.foreign, r.resources, string(example[:min(len(example), longestName)])))
}

func (a *attribution) metrics(ctx context.Context, data pmetric.Metrics) (pmetric.Metrics, error) {
	r := begin(ctx)
	data.ResourceMetrics().RemoveIf(func(of pmetric.ResourceMetrics) bool { return r.foreignTo(of.Resource(), points(of)) })
	return data, a.answer(ctx, r)
}

// points counts the data points of a resource.
func points(of pmetric.ResourceMetrics) (count int) {
	for _, scope := range of.ScopeMetrics().All() {
		for _, m := range scope.Metrics().All() {
			switch m.Type() {
			case pmetric.MetricTypeGauge:
				count += m.Gauge().DataPoints().Len()
			case pmetric.MetricTypeSum:
				count += m.Sum().DataPoints().Len()
			case pmetric.MetricTypeHistogram:
				count += m.Histogram().DataPoints().Len()
			case pmetric.MetricTypeExponentialHistogram:
				count += m.ExponentialHistogram().DataPoints().Len()
			case pmetric.MetricTypeSummary:
				count += m.Summary().DataPoints().Len()
			}
		}
	}
	return count
}

func (a *attribution) traces(ctx context.Context, data ptrace.Traces) (ptrace.Traces, error) {
	r := begin(ctx)
	data.ResourceSpans().RemoveIf(func(of ptrace.ResourceSpans) bool {
		items := 0
		for _, scope := range of.ScopeSpans().All() {
			items += scope.Spans().Len()
		}
		return r.foreignTo(of.Resource(), items)
	})
	return data, a.answer(ctx, r)
}

func (a *attribution) logs(ctx context.Context, data plog.Logs) (plog.Logs, error) {
	r := begin(ctx)
	data.ResourceLogs().RemoveIf(func(of plog.ResourceLogs) bool {
		items := 0
		for _, scope := range of.ScopeLogs().All() {
			items += scope.LogRecords().Len()
		}
		return r.foreignTo(of.Resource(), items)
	})
	return data, a.answer(ctx, r)
}
