package gate

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"obs-platform/collector/masking"
)

const scopeName = "obs-platform/collector/gate"

// telemetry are the gate's own metrics. No label has a value that a client chooses.
type telemetry struct {
	signal                     string
	meter                      metric.Meter
	accepted, refused, dropped metric.Int64Counter
	masked, reloads            metric.Int64Counter
	series                     metric.Int64ObservableGauge
	registration               metric.Registration
	mutex                      sync.Mutex
	sets                       map[string]*layerSets
	named                      *catalogue
	layerNames                 []string
}

// layerSets are the labels of one layer, made once.
type layerSets struct {
	accepted metric.AddOption
	refused  [reasons]metric.AddOption
	masked   [masking.Classes]metric.AddOption
}

func newTelemetry(set component.TelemetrySettings, of string) (*telemetry, error) {
	t := &telemetry{signal: of, meter: set.MeterProvider.Meter(scopeName), sets: map[string]*layerSets{}}
	var err error
	counter := func(name, description, unit string) metric.Int64Counter {
		made, failed := t.meter.Int64Counter(name, metric.WithDescription(description), metric.WithUnit(unit))
		if failed != nil {
			err = failed
		}
		return made
	}
	t.accepted = counter("otelcol_gate_accepted_items", "Data points, spans and log records that passed.", "{items}")
	t.refused = counter("otelcol_gate_refused_items", "Data points, spans and log records that did not pass.", "{items}")
	t.dropped = counter("otelcol_gate_dropped_attributes", "Attributes and texts that were left out of what passed.", "{attributes}")
	t.masked = counter("otelcol_gate_masked_values", "Values in which personal data or a secret was masked.", "{values}")
	t.reloads = counter("otelcol_gate_catalogue_reloads", "Changed catalogue files: taken into use, or with a mistake.", "{reloads}")
	if err != nil {
		return nil, err
	}
	t.series, err = t.meter.Int64ObservableGauge("otelcol_gate_series",
		metric.WithDescription("Time series, or names of spans, of a layer within the window."), metric.WithUnit("{series}"))
	return t, err
}

func (t *telemetry) observe(c *core) {
	registration, err := t.meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		for _, each := range c.catalogue.Load().ordered {
			counted, limit := c.series(each).count(), int64(each.budget.Series)
			if c.signal == tracesSignal {
				counted, limit = c.spanNames(each).count(), int64(each.budget.SpanNames)
			}
			if c.signal == logsSignal {
				continue
			}
			labels := func(what string) metric.ObserveOption {
				return metric.WithAttributes(attribute.String("layer", each.name), attribute.String("signal", t.signal), attribute.String("kind", what))
			}
			observer.ObserveInt64(t.series, counted, labels("used"))
			observer.ObserveInt64(t.series, limit, labels("budget"))
		}
		return nil
	}, t.series)
	if err == nil {
		t.registration = registration
	}
}

func (t *telemetry) close() error {
	if t.registration == nil {
		return nil
	}
	return t.registration.Unregister()
}

// names are the layers as labels have them: slot 0 is for what belongs to none.
func (t *telemetry) names(of *catalogue) []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.named != of {
		t.named, t.layerNames = of, []string{"none"}
		for _, each := range of.ordered {
			t.layerNames = append(t.layerNames, each.name)
		}
	}
	return t.layerNames
}

func (t *telemetry) labels(layer string) *layerSets {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	made := t.sets[layer]
	if made == nil {
		made = &layerSets{}
		common := []attribute.KeyValue{attribute.String("layer", layer), attribute.String("signal", t.signal)}
		made.accepted = metric.WithAttributeSet(attribute.NewSet(common...))
		for why := range reasons {
			made.refused[why] = metric.WithAttributeSet(attribute.NewSet(append(common, attribute.String("reason", reasonNames[why]))...))
		}
		for class := range masking.Classes {
			made.masked[class] = metric.WithAttributeSet(attribute.NewSet(append(common, attribute.String("class", masking.ClassName(class)))...))
		}
		t.sets[layer] = made
	}
	return made
}

// accept counts what passed.
func (t *telemetry) accept(ctx context.Context, w *walk) {
	for slot, count := range w.tally.accepted {
		if count > 0 {
			t.accepted.Add(ctx, count, t.labels(t.names(w.catalogue)[slot]).accepted)
		}
	}
}

func (t *telemetry) add(ctx context.Context, w *walk) {
	for slot, layer := range t.names(w.catalogue) {
		sets := t.labels(layer)
		for why := range reasons {
			if count := w.tally.refused[slot][why]; count > 0 {
				t.refused.Add(ctx, count, sets.refused[why])
			}
			if count := w.tally.dropped[slot][why]; count > 0 {
				t.dropped.Add(ctx, count, sets.refused[why])
			}
		}
		for class := range masking.Classes {
			if count := w.tally.masked[slot][class]; count > 0 {
				t.masked.Add(ctx, count, sets.masked[class])
			}
		}
	}
}

func (t *telemetry) reloaded(good bool) {
	result := "mistake"
	if good {
		result = "taken"
	}
	t.reloads.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", result), attribute.String("signal", t.signal)))
}
