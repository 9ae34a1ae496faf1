package bisect

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
)

// window drops all items but those from one number to another, in the order in which they stand.
type window struct{ at, from, to int }

func (w *window) outside() bool {
	w.at++
	return w.at <= w.from || w.at > w.to
}

var metricsOperations = operations[pmetric.Metrics]{
	signal: "metrics",
	count:  pmetric.Metrics.DataPointCount,
	join:   func(into, from pmetric.Metrics) { from.ResourceMetrics().MoveAndAppendTo(into.ResourceMetrics()) },
	part: func(data pmetric.Metrics, from, to int) pmetric.Metrics {
		part := pmetric.NewMetrics()
		data.CopyTo(part)
		w := &window{from: from, to: to}
		part.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool {
			resource.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool {
				scope.Metrics().RemoveIf(func(m pmetric.Metric) bool { return w.points(m) == 0 })
				return scope.Metrics().Len() == 0
			})
			return resource.ScopeMetrics().Len() == 0
		})
		return part
	},
	name: func(data pmetric.Metrics) []zap.Field {
		for _, resource := range data.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, m := range scope.Metrics().All() {
					return append(named(resource.Resource()), zap.String("metric", m.Name()))
				}
			}
		}
		return nil
	},
}

func (w *window) points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		points := m.Gauge().DataPoints()
		points.RemoveIf(func(pmetric.NumberDataPoint) bool { return w.outside() })
		return points.Len()
	case pmetric.MetricTypeSum:
		points := m.Sum().DataPoints()
		points.RemoveIf(func(pmetric.NumberDataPoint) bool { return w.outside() })
		return points.Len()
	case pmetric.MetricTypeHistogram:
		points := m.Histogram().DataPoints()
		points.RemoveIf(func(pmetric.HistogramDataPoint) bool { return w.outside() })
		return points.Len()
	case pmetric.MetricTypeExponentialHistogram:
		points := m.ExponentialHistogram().DataPoints()
		points.RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return w.outside() })
		return points.Len()
	case pmetric.MetricTypeSummary:
		points := m.Summary().DataPoints()
		points.RemoveIf(func(pmetric.SummaryDataPoint) bool { return w.outside() })
		return points.Len()
	}
	return 0
}

var tracesOperations = operations[ptrace.Traces]{
	signal: "traces",
	count:  ptrace.Traces.SpanCount,
	join:   func(into, from ptrace.Traces) { from.ResourceSpans().MoveAndAppendTo(into.ResourceSpans()) },
	part: func(data ptrace.Traces, from, to int) ptrace.Traces {
		part := ptrace.NewTraces()
		data.CopyTo(part)
		w := &window{from: from, to: to}
		part.ResourceSpans().RemoveIf(func(resource ptrace.ResourceSpans) bool {
			resource.ScopeSpans().RemoveIf(func(scope ptrace.ScopeSpans) bool {
				scope.Spans().RemoveIf(func(ptrace.Span) bool { return w.outside() })
				return scope.Spans().Len() == 0
			})
			return resource.ScopeSpans().Len() == 0
		})
		return part
	},
	name: func(data ptrace.Traces) []zap.Field {
		for _, resource := range data.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					return append(named(resource.Resource()), zap.String("span", span.Name()), zap.Stringer("trace_id", span.TraceID()))
				}
			}
		}
		return nil
	},
}

var logsOperations = operations[plog.Logs]{
	signal: "logs",
	count:  plog.Logs.LogRecordCount,
	join:   func(into, from plog.Logs) { from.ResourceLogs().MoveAndAppendTo(into.ResourceLogs()) },
	part: func(data plog.Logs, from, to int) plog.Logs {
		part := plog.NewLogs()
		data.CopyTo(part)
		w := &window{from: from, to: to}
		part.ResourceLogs().RemoveIf(func(resource plog.ResourceLogs) bool {
			resource.ScopeLogs().RemoveIf(func(scope plog.ScopeLogs) bool {
				scope.LogRecords().RemoveIf(func(plog.LogRecord) bool { return w.outside() })
				return scope.LogRecords().Len() == 0
			})
			return resource.ScopeLogs().Len() == 0
		})
		return part
	},
	name: func(data plog.Logs) []zap.Field {
		for _, resource := range data.ResourceLogs().All() {
			return named(resource.Resource())
		}
		return nil
	},
}

// named are the fields that name a resource: what has passed the gate is no personal data.
func named(resource pcommon.Resource) (fields []zap.Field) {
	for _, key := range []string{"layer", "service.name", "device_id", "service.instance.id"} {
		if value, ok := resource.Attributes().Get(key); ok {
			fields = append(fields, zap.String(key, value.AsString()))
		}
	}
	return fields
}
