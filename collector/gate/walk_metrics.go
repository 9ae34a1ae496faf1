package gate

import (
	"hash/maphash"
	"math"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"obs-platform/collector/masking"
)

// of exponential histograms; Prometheus merges buckets above 8 and refuses scales below -4
const (
	lowestScale  = -4
	highestScale = 20
)

var (
	targetInfo = hashString("target_info")
	boundSeed  = hashString("le")
	scopeLabel = hashString("otel_scope_name")
)

// metrics walks over one request, and returns how many data points are left.
func (w *walk) metrics(data pmetric.Metrics) int {
	left := 0
	data.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool {
		points := resourcePoints(resource)
		if !w.attribution(resource.Resource(), points) {
			return true
		}
		if !schema(resource.SchemaUrl()) {
			resource.SetSchemaUrl("")
		}
		kept := 0
		w.scopes.begin(resource)
		resource.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool {
			if !w.meter(scope) {
				return true
			}
			scope.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				points := w.metric(m)
				kept += points
				return points == 0
			})
			return scope.Metrics().Len() == 0
		})
		if kept == 0 && points > 0 {
			w.tally.gone++
		}
		left += kept
		w.tally.accepted[w.slot] += int64(kept)
		return kept == 0
	})
	return left
}

func resourcePoints(resource pmetric.ResourceMetrics) (count int) {
	for _, scope := range resource.ScopeMetrics().All() {
		for _, m := range scope.Metrics().All() {
			count += pointCount(m)
		}
	}
	return count
}

func pointCount(m pmetric.Metric) int {
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

// kindOf names the instrument that a metric comes from.
func kindOf(m pmetric.Metric) (kind string, cumulative bool) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return "gauge", true
	case pmetric.MetricTypeSum:
		cumulative = m.Sum().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
		if m.Sum().IsMonotonic() {
			return "counter", cumulative
		}
		return "updowncounter", cumulative
	case pmetric.MetricTypeHistogram:
		return "histogram", m.Histogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
	case pmetric.MetricTypeExponentialHistogram:
		return "exponentialhistogram", m.ExponentialHistogram().AggregationTemporality() == pmetric.AggregationTemporalityCumulative
	case pmetric.MetricTypeSummary:
		return "summary", true
	}
	return "", true
}

// metric walks over one metric, and returns how many of its points are left.
func (w *walk) metric(m pmetric.Metric) int {
	points := pointCount(m)
	if points == 0 {
		return 0
	}
	known := w.layer.metrics[m.Name()]
	kind, cumulative := kindOf(m)
	hash := uint64(0)
	switch {
	case known == nil && !w.layer.open:
		return w.lost(metricUnknown, points, m.Name())
	case known == nil && (!metricName(m.Name()) || w.catalogue.metrics.matchMetric(m.Name())):
		return w.lost(metricReserved, points, m.Name())
	case known != nil && known.kind != kind:
		return w.lost(metricKind, points, m.Name())
	case known != nil && known.unit != nil && *known.unit != m.Unit():
		return w.lost(metricUnit, points, m.Name())
	case !cumulative:
		return w.lost(metricTemporality, points, m.Name())
	}
	if known != nil {
		hash = known.hash
		if known.description != m.Description() {
			m.SetDescription(known.description)
		}
	} else {
		if _, classes := w.core.texts.fixed(m.Name()); classes != 0 {
			w.tally.mask(w.slot, classes)
			return w.lost(metricReserved, points, m.Name())
		}
		hash = mix(hashString(m.Name()) ^ hashString(kind)) // a counter is named otherwise than a gauge
		if description, changed := w.name(m.Description(), w.catalogue.limits.ValueBytes); changed {
			m.SetDescription(description)
		}
	}
	if known == nil || known.unit == nil {
		if unit, changed := w.name(m.Unit(), longestVersion); changed {
			m.SetUnit(strings.Trim(unit, "{}"))
		}
		hash = mix(hash ^ hashString(m.Unit())<<1) // the unit is a part of the name
	}
	if m.Metadata().Len() > 0 {
		m.Metadata().Clear()
	}
	hash += w.scopes.label
	w.scopes.series = hash
	return w.points(m, known, hash)
}

// lost counts all points of a metric as refused.
func (w *walk) lost(why reason, points int, example string) int {
	w.tally.refuse(w.slot, why, points, example)
	return 0
}

func (w *walk) points(m pmetric.Metric, known *knownMetric, hash uint64) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return w.numbers(m.Gauge().DataPoints(), known, hash)
	case pmetric.MetricTypeSum:
		return w.numbers(m.Sum().DataPoints(), known, hash)
	case pmetric.MetricTypeHistogram:
		points := m.Histogram().DataPoints()
		points.RemoveIf(func(p pmetric.HistogramDataPoint) bool {
			bounds, ok := w.bounds(p)
			if !ok {
				w.tally.refuse(w.slot, metricShape, 1, m.Name())
				return true
			}
			clearExemplars(p.Exemplars())
			return !w.point(p.Attributes(), p.Timestamp(), known, hash+bounds, int64(p.ExplicitBounds().Len())+3)
		})
		return points.Len()
	case pmetric.MetricTypeExponentialHistogram:
		points := m.ExponentialHistogram().DataPoints()
		points.RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
			if !w.native(p) {
				w.tally.refuse(w.slot, metricShape, 1, m.Name())
				return true
			}
			clearExemplars(p.Exemplars())
			return !w.point(p.Attributes(), p.Timestamp(), known, hash, 1)
		})
		return points.Len()
	case pmetric.MetricTypeSummary:
		points := m.Summary().DataPoints()
		points.RemoveIf(func(p pmetric.SummaryDataPoint) bool {
			if p.QuantileValues().Len() > w.catalogue.limits.Buckets {
				w.tally.refuse(w.slot, metricShape, 1, m.Name())
				return true
			}
			quantiles := uint64(p.QuantileValues().Len())
			for _, each := range p.QuantileValues().All() {
				quantiles += boundHash(each.Quantile())
			}
			return !w.point(p.Attributes(), p.Timestamp(), known, hash+quantiles, int64(p.QuantileValues().Len())+2)
		})
		return points.Len()
	}
	return 0
}

func (w *walk) numbers(points pmetric.NumberDataPointSlice, known *knownMetric, hash uint64) int {
	points.RemoveIf(func(p pmetric.NumberDataPoint) bool {
		clearExemplars(p.Exemplars())
		return !w.point(p.Attributes(), p.Timestamp(), known, hash, 1)
	})
	return points.Len()
}

// clearExemplars leaves values and trace ids; attributes that were filtered out have no type in the catalogue. To one without
// a value Prometheus answers 500, for ever.
func clearExemplars(exemplars pmetric.ExemplarSlice) {
	exemplars.RemoveIf(func(exemplar pmetric.Exemplar) bool {
		exemplar.FilteredAttributes().Clear()
		return exemplar.ValueType() == pmetric.ExemplarValueTypeEmpty
	})
}

// boundHash is of a bound or a quantile, each of which is a series.
func boundHash(bound float64) uint64 { return mix(math.Float64bits(bound) ^ boundSeed) }

// bounds hashes a histogram's bounds, and tells whether Prometheus would take it: one bucket more than bounds, bounds that
// grow.
func (w *walk) bounds(p pmetric.HistogramDataPoint) (hash uint64, ok bool) {
	buckets, bounds := p.BucketCounts().Len(), p.ExplicitBounds()
	size := bounds.Len()
	if buckets > w.catalogue.limits.Buckets || buckets != size+1 && (buckets != 0 || size != 0) {
		return 0, false
	}
	hash = uint64(buckets)
	last := math.Inf(-1)
	for index := range size {
		bound := bounds.At(index)
		if !(bound > last) {
			return 0, false
		}
		last = bound
		hash += boundHash(bound)
	}
	return hash, true
}

// native tells whether Prometheus would take an exponential histogram: any other it would be sent again for ever, for it
// answers 500.
func (w *walk) native(p pmetric.ExponentialHistogramDataPoint) bool {
	positive, negative := p.Positive().BucketCounts().Len(), p.Negative().BucketCounts().Len()
	if positive+negative > 2*w.catalogue.limits.Buckets || p.Scale() < lowestScale || p.Scale() > highestScale {
		return false
	}
	if p.Count() > math.MaxInt64 || p.ZeroCount() > p.Count() {
		return false
	}
	left, ok := counted(p.Positive(), p.Count()-p.ZeroCount())
	if ok {
		left, ok = counted(p.Negative(), left)
	}
	return ok && (left == 0 || p.HasSum() && math.IsNaN(p.Sum())) // observations of NaN are in no bucket
}

// counted takes what is in buckets from a count; false: the count is too small, or a bucket has an index beyond int32.
func counted(buckets pmetric.ExponentialHistogramDataPointBuckets, left uint64) (rest uint64, ok bool) {
	counts := buckets.BucketCounts()
	if int64(buckets.Offset())+int64(counts.Len()) > math.MaxInt32 {
		return left, false
	}
	for index := range counts.Len() {
		count := counts.At(index)
		if count > left {
			return left, false
		}
		left -= count
	}
	return left, true
}

// point checks the attributes, the time and the budgets of one data point; weight is how many series it makes.
func (w *walk) point(attributes pcommon.Map, at pcommon.Timestamp, known *knownMetric, hash uint64, weight int64) bool {
	if at == 0 || at > w.latest || at < w.earliest {
		w.tally.refuse(w.slot, timeRefused, 1, "")
		return false
	}
	sum := uint64(0)
	if count := attributes.Len(); count > 0 {
		if count > w.catalogue.limits.Attributes {
			w.tally.refuse(w.slot, attributeCount, 1, "")
			return false
		}
		w.seen = w.seen[:0]
		bits := uint64(0)
		for key, value := range attributes.All() {
			listed := (*typedKey)(nil)
			if known != nil {
				for index, each := range known.attributes {
					if each.key == key {
						if bits&(1<<index) != 0 {
							w.tally.refuse(w.slot, attributeDuplicate, 1, key)
							return false
						}
						bits |= 1 << index
						listed = each
						break
					}
				}
			}
			if listed == nil {
				if !w.openLabel(key, value) {
					return false
				}
			} else if !w.label(listed, value) {
				return false
			}
			sum += labelHash(key, value)
		}
	}
	if w.scopes.contested && w.scopes.taken(mix(w.scopes.series+sum)) {
		w.tally.refuse(w.slot, scopeDuplicate, 1, w.scopes.name)
		return false
	}
	client := mix(w.resource)
	if w.info == unasked {
		w.info = w.sketches.series.admit(mix(w.target), client, 1)
	}
	fits := w.info
	if fits == within {
		fits = w.sketches.series.admit(mix(hash+sum+w.resource), client, weight)
	}
	switch fits {
	case overBudget:
		w.tally.refuse(w.slot, seriesBudget, 1, "")
		return false
	case overClientBudget:
		w.tally.refuse(w.slot, clientBudget, 1, "")
		return false
	}
	return true
}

// label brings a listed attribute of a point to its type; what does not fit refuses the point, for a label less would
// make two series one.
func (w *walk) label(listed *typedKey, value pcommon.Value) bool {
	switch listed.kind {
	case idType:
		w.identify(value)
		return true
	case textType:
		return w.freeLabel(listed.key, value)
	}
	if !listed.fits(value) {
		w.tally.refuse(w.slot, attributeValue, 1, listed.key)
		return false
	}
	if listed.kind == routeType {
		w.text(value, masking.Plain, 0)
	}
	return true
}

// openLabel checks an attribute that the catalogue does not have for the metric.
func (w *walk) openLabel(key string, value pcommon.Value) bool {
	if !w.layer.open {
		w.tally.refuse(w.slot, attributeUnknown, 1, key)
		return false
	}
	if reservedLabel(key, w.catalogue.labels) {
		w.tally.refuse(w.slot, attributeReserved, 1, key)
		return false
	}
	if w.repeated(key) {
		w.tally.refuse(w.slot, attributeDuplicate, 1, key)
		return false
	}
	use, class := w.core.texts.key(key)
	switch use {
	case masking.Remove, masking.Unwanted:
		w.tally.mask(w.slot, class)
		w.tally.refuse(w.slot, attributeSensitive, 1, "")
		return false
	case masking.Hash:
		w.identify(value)
		return true
	case masking.Precise:
		w.value(value, 0, use, class)
		return true
	}
	return w.freeLabel(key, value)
}

func (w *walk) freeLabel(key string, value pcommon.Value) bool {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		if len(value.Str()) > longestKey*4 {
			w.tally.refuse(w.slot, sizeRefused, 1, key)
			return false
		}
		w.text(value, masking.Plain, 0)
		return true
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice, pcommon.ValueTypeBytes:
		w.tally.refuse(w.slot, attributeValue, 1, key)
		return false
	}
	w.value(value, 0, masking.Plain, 0)
	return true
}

func labelHash(key string, value pcommon.Value) uint64 {
	h := uint64(0)
	switch value.Type() {
	case pcommon.ValueTypeStr:
		h = maphash.String(seed, value.Str())
	case pcommon.ValueTypeInt:
		h = uint64(value.Int()) + 1
	case pcommon.ValueTypeDouble:
		h = math.Float64bits(value.Double()) + 2
	case pcommon.ValueTypeBool:
		if h = 3; value.Bool() {
			h = 4
		}
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice, pcommon.ValueTypeBytes:
		h = maphash.String(seed, value.AsString())
	}
	return mix(h ^ maphash.String(seed, key)<<1)
}
