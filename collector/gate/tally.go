package gate

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"obs-platform/collector/masking"
)

// reason says why something did not pass. Metrics carry it as a label.
type reason uint8

const (
	clientUnknown reason = iota
	layerMissing
	layerUnknown
	layerForeign
	signalRefused
	serviceMissing
	serviceUnknown
	serviceReserved
	attributeRequired
	metricUnknown
	metricReserved
	metricUnit
	metricKind
	metricTemporality
	metricShape
	scopeDuplicate
	attributeUnknown
	attributeReserved
	attributeDuplicate
	attributeValue
	attributeCount
	attributeSensitive
	timeRefused
	depthRefused
	sizeRefused
	itemsRefused
	seriesBudget
	clientBudget
	spanNameBudget
	idRefused
	reasons
)

var reasonNames = [reasons]string{
	"client_unknown", "layer_missing", "layer_unknown", "layer_foreign", "signal", "service_missing", "service_unknown",
	"service_reserved", "attribute_required", "metric_unknown", "metric_reserved", "metric_unit", "metric_kind",
	"metric_temporality", "metric_shape", "scope_duplicate", "attribute_unknown", "attribute_reserved", "attribute_duplicate", "attribute_value",
	"attribute_count", "attribute_sensitive", "time", "depth", "size", "items", "series_budget", "client_budget",
	"span_name_budget", "id",
}

var hints = [reasons]string{
	"this user may not send telemetry",
	"the resource attribute `layer` is missing, and this user speaks for several layers",
	"the resource attribute `layer` names no layer",
	"this user may not speak for the layer that the resource attribute `layer` names",
	"this layer may not send this signal",
	"the resource attribute `service.name` is missing",
	"the resource attribute `service.name` names no service of this layer",
	"the resource attribute `service.name` names a part of the platform",
	"a resource attribute that this layer requires is missing",
	"the metric is not in the catalogue of this layer",
	"the metric's name is the platform's own, or no name that OpenTelemetry allows",
	"the metric has another unit in the catalogue",
	"the metric is of another kind in the catalogue",
	"sums and histograms must be cumulative",
	"a histogram's buckets, bounds, count or scale do not fit, or are too many",
	"two scopes of one name, which differ in version, schema or attributes, send the same series",
	"a data point has an attribute that the catalogue does not have for its metric",
	"an attribute has a name that the platform keeps for itself",
	"an attribute stands there twice",
	"the value of an attribute is not of the type that the catalogue has",
	"there are too many attributes",
	"an attribute's key says that it holds personal data or a secret",
	"a time is missing, too far in the past or in the future, or ends before it begins",
	"a value is nested too deeply",
	"a record, a span or the attributes of a resource are too large",
	"a request has too many items or resources",
	"the layer has used up its budget of time series",
	"this client has used up its budget of time series",
	"the layer has used up its budget of span names",
	"a span has no valid trace id or span id",
}

// tally counts what one request left behind. Index 0 is for what belongs to no layer, layer index + 1 for the others.
type tally struct {
	refused   [][reasons]int64 // items
	dropped   [][reasons]int64 // attributes, texts
	masked    [][masking.Classes]int64
	accepted  []int64 // items
	touched   bool
	resources int
	gone      int // resources of which nothing passed
	first     reason
	firstSet  bool
	example   string
}

func (t *tally) reset(layers int) {
	if len(t.refused) != layers+1 {
		t.refused = make([][reasons]int64, layers+1)
		t.dropped = make([][reasons]int64, layers+1)
		t.masked = make([][masking.Classes]int64, layers+1)
		t.accepted = make([]int64, layers+1)
	} else if t.touched {
		clear(t.refused)
		clear(t.dropped)
		clear(t.masked)
	}
	clear(t.accepted)
	t.touched, t.resources, t.gone, t.firstSet, t.example = false, 0, 0, false, ""
}

// refuse counts items that do not pass; example is the name that did it, as the client wrote it.
func (t *tally) refuse(slot int, why reason, items int, example string) {
	t.touched = true
	t.refused[slot][why] += int64(items)
	if !t.firstSet {
		t.first, t.firstSet, t.example = why, true, example
	}
}

func (t *tally) drop(slot int, why reason) {
	t.touched = true
	t.dropped[slot][why]++
}

func (t *tally) mask(slot int, classes masking.Class) {
	t.touched = true
	for index := range masking.Classes {
		if classes&(1<<index) != 0 {
			t.masked[slot][index]++
		}
	}
}

// answer is the one line for a client of whose request nothing passed.
func (t *tally) answer() string {
	line := fmt.Sprintf("nothing of this request was accepted (%d of %d resources refused): %s: %s",
		t.gone, t.resources, reasonNames[t.first], hints[t.first])
	if t.example != "" {
		line += fmt.Sprintf(" (%q)", shown(t.example))
	}
	return line
}

const longestExample = 80

// shown is a name of a client's as it may stand in a log: masked and short.
func shown(name string) string {
	if len(name) > longestExample {
		name = cut(name, longestExample) + "..."
	}
	masked, _ := masking.Text(strings.ToValidUTF8(name, "?"))
	return masked
}

// reporter writes once a minute what did not pass.
type reporter struct {
	logger *zap.Logger
	signal string
	every  time.Duration
	mutex  sync.Mutex
	counts map[reportKey]*reportLine
}

type reportKey struct {
	layer string
	why   reason
	item  bool
}

type reportLine struct {
	count   int64
	example string
}

func (r *reporter) add(names []string, t *tally) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for slot, name := range names {
		for why := range reasons {
			r.count(reportKey{name, why, true}, t.refused[slot][why], t)
			r.count(reportKey{name, why, false}, t.dropped[slot][why], nil)
		}
	}
}

func (r *reporter) count(key reportKey, count int64, t *tally) {
	if count == 0 {
		return
	}
	line := r.counts[key]
	if line == nil {
		line = &reportLine{}
		r.counts[key] = line
	}
	line.count += count
	if t != nil && line.example == "" && t.first == key.why {
		line.example = strings.Clone(t.example)
	}
}

// report writes the lines of the minute and forgets them.
func (r *reporter) report() {
	r.mutex.Lock()
	counts := r.counts
	r.counts = map[reportKey]*reportLine{}
	r.mutex.Unlock()
	for key, line := range counts {
		what := "attributes dropped"
		if key.item {
			what = "items refused"
		}
		r.logger.Warn(what,
			zap.String("signal", r.signal), zap.String("layer", key.layer), zap.String("reason", reasonNames[key.why]),
			zap.Int64("count", line.count), zap.String("meaning", hints[key.why]), zap.String("example", shown(line.example)),
			zap.Duration("within", r.every))
	}
}
