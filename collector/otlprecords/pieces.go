package otlprecords

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"obs-platform/collector/wire"
)

// pieces are what a request consists of, so that it can be sent in parts.
type pieces interface {
	count() int
	part(from, to int) pieces
	// within are the pieces of a single piece; nil: it has none.
	within() pieces
	items() int
	body() ([]byte, error)
	name() []zap.Field
}

// record is the value of one Kafka record.
type record struct {
	value []byte
	items int
	// whole says that other values may stand behind it: it ends where its last resource does.
	whole bool
}

func newRecord(value []byte) record {
	counts, _, err := wire.Scan(wire.Metrics, value, false)
	return record{value: value, items: counts.Items, whole: err == nil && wire.Repeats(value, 1)}
}

type records []record

func (r records) count() int               { return len(r) }
func (r records) part(from, to int) pieces { return r[from:to] }
func (r records) within() pieces {
	data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(r[0].value)
	if err != nil {
		return nil
	}
	return points{data}
}

func (r records) items() (all int) {
	for _, one := range r {
		all += one.items
	}
	return all
}

func (r records) body() ([]byte, error) {
	if len(r) == 1 {
		return r[0].value, nil
	}
	values := make([][]byte, len(r))
	for number, one := range r {
		values[number] = one.value
	}
	return slices.Concat(values...), nil
}

func (r records) name() []zap.Field {
	if within := r[0:1].within(); within != nil {
		return within.name()
	}
	return []zap.Field{zap.Int("bytes that cannot be decoded", len(r[0].value))}
}

// points are the data points of one record.
type points struct{ pmetric.Metrics }

func (p points) count() int            { return p.DataPointCount() }
func (p points) items() int            { return p.DataPointCount() }
func (p points) within() pieces        { return nil }
func (p points) body() ([]byte, error) { return (&pmetric.ProtoMarshaler{}).MarshalMetrics(p.Metrics) }

func (p points) part(from, to int) pieces {
	part := pmetric.NewMetrics()
	p.CopyTo(part)
	w := &window{from: from, to: to}
	part.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool {
		resource.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool {
			scope.Metrics().RemoveIf(func(m pmetric.Metric) bool { return w.points(m) == 0 })
			return scope.Metrics().Len() == 0
		})
		return resource.ScopeMetrics().Len() == 0
	})
	return points{part}
}

// name tells what the first point is of: what has passed the gate is no personal data.
func (p points) name() (fields []zap.Field) {
	for _, resource := range p.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				return append(named(resource.Resource()), zap.String("metric", m.Name()))
			}
		}
	}
	return nil
}

func named(resource pcommon.Resource) (fields []zap.Field) {
	for _, key := range []string{"layer", "service.name", "device_id", "service.instance.id"} {
		if value, ok := resource.Attributes().Get(key); ok {
			fields = append(fields, zap.String(key, value.AsString()))
		}
	}
	return fields
}

// window drops all points but those from one number to another, in the order in which they stand.
type window struct{ at, from, to int }

func (w *window) outside() bool {
	w.at++
	return w.at <= w.from || w.at > w.to
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
