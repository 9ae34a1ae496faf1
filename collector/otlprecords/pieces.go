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
	return pointsOf(data)
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

// points are data points of one record, from one number to another. They are copied when they are sent: many parts may
// wait, and each copy has the resource.
type points struct {
	pmetric.Metrics
	from, to int
}

func pointsOf(data pmetric.Metrics) points { return points{data, 0, data.DataPointCount()} }

func (p points) count() int            { return p.to - p.from }
func (p points) items() int            { return p.count() }
func (p points) within() pieces        { return nil }
func (p points) body() ([]byte, error) { return (&pmetric.ProtoMarshaler{}).MarshalMetrics(p.copied()) }

func (p points) part(from, to int) pieces { return points{p.Metrics, p.from + from, p.from + to} }

// copied is a message of these points alone.
func (p points) copied() pmetric.Metrics {
	part := pmetric.NewMetrics()
	at := 0
	for _, from := range p.ResourceMetrics().All() {
		var resource pmetric.ResourceMetrics
		chosen := false
		for _, within := range from.ScopeMetrics().All() {
			var scope pmetric.ScopeMetrics
			begun := false
			for _, m := range within.Metrics().All() {
				first := at
				at += length(m)
				if at == first || first >= p.to || at <= p.from {
					continue
				}
				if !chosen {
					chosen, resource = true, part.ResourceMetrics().AppendEmpty()
					from.Resource().CopyTo(resource.Resource())
					resource.SetSchemaUrl(from.SchemaUrl())
				}
				if !begun {
					begun, scope = true, resource.ScopeMetrics().AppendEmpty()
					within.Scope().CopyTo(scope.Scope())
					scope.SetSchemaUrl(within.SchemaUrl())
				}
				one := scope.Metrics().AppendEmpty()
				m.CopyTo(one)
				if first < p.from || at > p.to {
					(&window{at: first, from: p.from, to: p.to}).drop(one)
				}
			}
		}
	}
	return part
}

// name tells what the first point is of: what has passed the gate is no personal data.
func (p points) name() (fields []zap.Field) {
	data := p.Metrics
	if p.count() > 0 {
		data = points{p.Metrics, p.from, p.from + 1}.copied()
	}
	for _, resource := range data.ResourceMetrics().All() {
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

func (w *window) drop(m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return w.outside() })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return w.outside() })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return w.outside() })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return w.outside() })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return w.outside() })
	}
}

func length(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}
