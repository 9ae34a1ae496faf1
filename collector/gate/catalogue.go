package gate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Catalogue is the data that says what passes. The platform renders it from its own catalogue.
type Catalogue struct {
	// Version is what the log says when the catalogue is taken into use.
	Version string `yaml:"version"`
	// Clients maps a user that signs in to the layers that it may speak for. A client of one layer need not name it.
	Clients map[string][]string `yaml:"clients"`
	// Attributes are all keys with their types, each once.
	Attributes map[string]Attribute `yaml:"attributes"`
	Layers     map[string]Layer     `yaml:"layers"`
	Reserved   Reserved             `yaml:"reserved"`
	Limits     Limits               `yaml:"limits"`
}

// Attribute is the type of the values under one key.
type Attribute struct {
	// Type is one of number, boolean, enum, version, route, code, id, text.
	Type string `yaml:"type"`
	// Values are what an enum allows.
	Values []string `yaml:"values,omitempty"`
	// Minimum and Maximum bound a number.
	Minimum *float64 `yaml:"minimum,omitempty"`
	Maximum *float64 `yaml:"maximum,omitempty"`
}

// Layer is what one layer of the observed system may send.
type Layer struct {
	// Open lets names that are not listed pass as free text, under the limits and never with reserved names.
	Open    bool     `yaml:"open"`
	Signals []string `yaml:"signals"`
	// Services are the values of service.name; an open layer may have others.
	Services []string `yaml:"services"`
	// Required are resource attributes without which a resource is refused.
	Required []string          `yaml:"required"`
	Resource []string          `yaml:"resource"`
	Metrics  map[string]Metric `yaml:"metrics"`
	Spans    []string          `yaml:"spans"`
	Logs     []string          `yaml:"logs"`
	Budget   Budget            `yaml:"budget"`
}

// Metric is one metric with the keys of its data points.
type Metric struct {
	// Unit is the one unit that it may have, since it is a part of the name in Prometheus; without one, any.
	Unit *string `yaml:"unit,omitempty"`
	// Kind is gauge, counter, updowncounter, histogram, exponentialhistogram or summary.
	Kind string `yaml:"kind"`
	// Description replaces the client's.
	Description string   `yaml:"description"`
	Attributes  []string `yaml:"attributes"`
}

// Budget bounds what one layer may create within the window.
type Budget struct {
	// Series are time series of the layer.
	Series int `yaml:"series"`
	// ClientSeries are time series of one resource: one device, one process.
	ClientSeries int `yaml:"client_series"`
	// SpanNames are different names of spans; further ones become "other".
	SpanNames int `yaml:"span_names"`
}

// Reserved are names of the platform itself: no client may use them, in no layer.
type Reserved struct {
	// Labels are keys of data points, as Prometheus spells them.
	Labels []string `yaml:"labels"`
	// Metrics are names as Prometheus spells them; a star at the end stands for any rest.
	Metrics []string `yaml:"metrics"`
	// Services are values of service.name, with the same star.
	Services []string `yaml:"services"`
}

// Limits bound requests and what is in them.
type Limits struct {
	Depth      int `yaml:"depth"`
	ValueBytes int `yaml:"value_bytes"`
	ItemBytes  int `yaml:"item_bytes"`
	// ResourceBytes bound a resource's attributes, which its records, spans and target_info repeat.
	ResourceBytes int           `yaml:"resource_bytes"`
	Attributes    int           `yaml:"attributes"`
	Items         int           `yaml:"items"`
	Resources     int           `yaml:"resources"`
	Buckets       int           `yaml:"buckets"`
	Future        time.Duration `yaml:"future"`
	Past          time.Duration `yaml:"past"`
	// MetricsPast is what Past is for metrics, whose store takes nothing older; without it, the same.
	MetricsPast time.Duration `yaml:"metrics_past"`
	Window      time.Duration `yaml:"window"`
}

func defaultLimits() Limits {
	return Limits{
		Depth: 16, ValueBytes: 64 << 10, ItemBytes: 256 << 10, ResourceBytes: 64 << 10,
		Attributes: 64, Items: 50_000, Resources: 5_000, Buckets: 160,
		Future: 10 * time.Minute, Past: 7 * 24 * time.Hour, Window: 30 * time.Minute,
	}
}

type signal uint8

const (
	metricsSignal signal = iota
	tracesSignal
	logsSignal
	signals
)

var signalNames = [signals]string{"metrics", "traces", "logs"}

type valueType uint8

const (
	numberType valueType = iota
	booleanType
	enumType
	versionType
	routeType
	codeType
	idType
	textType
)

var typeNames = []string{"number", "boolean", "enum", "version", "route", "code", "id", "text"}

var kinds = []string{"gauge", "counter", "updowncounter", "histogram", "exponentialhistogram", "summary"}

// typedKey is a key as the walk uses it.
type typedKey struct {
	key              string
	kind             valueType
	values           map[string]struct{}
	minimum, maximum float64
}

type knownMetric struct {
	name        string
	unit        *string
	kind        string
	description string
	attributes  []*typedKey
	hash        uint64
}

type layer struct {
	name     string
	index    int
	open     bool
	signals  [signals]bool
	services map[string]struct{}
	required []string
	resource map[string]*typedKey
	metrics  map[string]*knownMetric
	spans    map[string]*typedKey
	logs     map[string]*typedKey
	budget   Budget
}

// catalogue is a Catalogue that was checked and made ready for the walk. It does not change.
type catalogue struct {
	version  string
	clients  map[string][]*layer
	layers   map[string]*layer
	ordered  []*layer
	limits   Limits
	labels   map[string]struct{}
	metrics  patterns
	services patterns
}

// parse reads and checks a catalogue. The error names every mistake in one line each.
func parse(content []byte) (*catalogue, error) {
	raw := Catalogue{Limits: defaultLimits()}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&raw); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the catalogue is empty")
		}
		return nil, errors.New(oneLine(err.Error()))
	}
	return compile(raw)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

type compiler struct {
	attributes map[string]*typedKey
	mistakes   []string
}

func (c *compiler) wrong(format string, arguments ...any) {
	c.mistakes = append(c.mistakes, fmt.Sprintf(format, arguments...))
}

func compile(raw Catalogue) (*catalogue, error) {
	c := &compiler{attributes: map[string]*typedKey{}}
	for _, key := range slices.Sorted(maps.Keys(raw.Attributes)) {
		c.attributes[key] = c.attribute(key, raw.Attributes[key])
	}
	made := &catalogue{
		version: raw.Version, clients: map[string][]*layer{}, layers: map[string]*layer{}, limits: raw.Limits,
		labels: map[string]struct{}{}, metrics: c.patterns("reserved metric", raw.Reserved.Metrics),
		services: c.patterns("reserved service", raw.Reserved.Services),
	}
	for _, label := range raw.Reserved.Labels {
		made.labels[label] = struct{}{}
	}
	for index, name := range slices.Sorted(maps.Keys(raw.Layers)) {
		compiled := c.layer(name, index, raw.Layers[name], made)
		made.layers[name] = compiled
		made.ordered = append(made.ordered, compiled)
	}
	for _, user := range slices.Sorted(maps.Keys(raw.Clients)) {
		for _, name := range raw.Clients[user] {
			known := made.layers[name]
			if known == nil {
				c.wrong("client %q: there is no layer %q", user, name)
				continue
			}
			made.clients[user] = append(made.clients[user], known)
		}
	}
	c.limits(raw.Limits)
	if len(made.layers) == 0 {
		c.wrong("there is no layer")
	}
	if len(c.mistakes) > 0 {
		return nil, errors.New(strings.Join(c.mistakes, "; "))
	}
	return made, nil
}

func (c *compiler) attribute(key string, raw Attribute) *typedKey {
	index := slices.Index(typeNames, raw.Type)
	if index < 0 {
		c.wrong("attribute %q: type is %q, allowed is one of %s", key, raw.Type, strings.Join(typeNames, ", "))
		return nil
	}
	made := &typedKey{key: key, kind: valueType(index), minimum: math.Inf(-1), maximum: math.Inf(1)}
	if (made.kind == enumType) != (len(raw.Values) > 0) {
		c.wrong("attribute %q: an enum has values, and nothing else has", key)
	}
	if made.kind != numberType && (raw.Minimum != nil || raw.Maximum != nil) {
		c.wrong("attribute %q: only a number has bounds", key)
	}
	if raw.Minimum != nil {
		made.minimum = *raw.Minimum
	}
	if raw.Maximum != nil {
		made.maximum = *raw.Maximum
	}
	if len(raw.Values) > 0 {
		made.values = make(map[string]struct{}, len(raw.Values))
		for _, value := range raw.Values {
			made.values[value] = struct{}{}
		}
	}
	return made
}

func (c *compiler) keys(where string, keys []string) map[string]*typedKey {
	made := make(map[string]*typedKey, len(keys))
	for _, key := range keys {
		if known, ok := c.attributes[key]; ok {
			made[key] = known
			continue
		}
		c.wrong("%s: %q is not among the attributes", where, key)
	}
	return made
}

func (c *compiler) layer(name string, index int, raw Layer, in *catalogue) *layer {
	where := "layer " + name
	made := &layer{
		name: name, index: index, open: raw.Open, required: raw.Required, budget: raw.Budget,
		services: map[string]struct{}{}, metrics: map[string]*knownMetric{},
		resource: c.keys(where+", resource", raw.Resource),
		spans:    c.keys(where+", spans", raw.Spans), logs: c.keys(where+", logs", raw.Logs),
	}
	for _, sent := range raw.Signals {
		at := slices.Index(signalNames[:], sent)
		if at < 0 {
			c.wrong("%s: signal is %q, allowed is one of %s", where, sent, strings.Join(signalNames[:], ", "))
			continue
		}
		made.signals[at] = true
	}
	for _, service := range raw.Services {
		made.services[service] = struct{}{}
		if in.services.match(strings.ToLower(service)) {
			c.wrong("%s: service %q is reserved", where, service)
		}
	}
	for _, key := range raw.Required {
		if made.resource[key] == nil && key != serviceName {
			c.wrong("%s: %q is required and not among the resource attributes", where, key)
		}
	}
	for _, metricName := range slices.Sorted(maps.Keys(raw.Metrics)) {
		made.metrics[metricName] = c.metric(where, metricName, raw.Metrics[metricName], in)
	}
	if cmp.Or(raw.Budget.Series, 0) <= 0 || raw.Budget.ClientSeries <= 0 || raw.Budget.SpanNames < 0 {
		c.wrong("%s: budget needs series and client_series above 0", where)
	}
	return made
}

func (c *compiler) metric(where, name string, raw Metric, in *catalogue) *knownMetric {
	where += ", metric " + name
	if !metricName(name) {
		c.wrong("%s: the name has other than letters, digits, dots, dashes and underscores", where)
	}
	if in.metrics.matchMetric(name) {
		c.wrong("%s: the name is reserved", where)
	}
	if !slices.Contains(kinds, raw.Kind) {
		c.wrong("%s: kind is %q, allowed is one of %s", where, raw.Kind, strings.Join(kinds, ", "))
	}
	made := &knownMetric{name: name, unit: raw.Unit, kind: raw.Kind, description: raw.Description, hash: hashString(name)}
	for _, key := range raw.Attributes {
		known := c.attributes[key]
		if known == nil {
			c.wrong("%s: %q is not among the attributes", where, key)
			continue
		}
		if reservedLabel(key, in.labels) {
			c.wrong("%s: %q is a reserved label", where, key)
		}
		made.attributes = append(made.attributes, known)
	}
	if len(made.attributes) > 64 {
		c.wrong("%s: more than 64 attributes", where)
	}
	return made
}

func (c *compiler) limits(l Limits) {
	for name, value := range map[string]int{
		"depth": l.Depth, "value_bytes": l.ValueBytes, "item_bytes": l.ItemBytes, "resource_bytes": l.ResourceBytes,
		"attributes": l.Attributes, "items": l.Items, "resources": l.Resources, "buckets": l.Buckets,
	} {
		if value <= 0 {
			c.wrong("limits: %s is %d, must be above 0", name, value)
		}
	}
	if l.Depth > 100 || l.Attributes > 1024 {
		c.wrong("limits: depth is at most 100, attributes at most 1024")
	}
	if l.Future <= 0 || l.Past < 0 || l.MetricsPast < 0 || l.Window < time.Second {
		c.wrong("limits: future and window are above 0, past and metrics_past are not below")
	}
}
