package gate

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

var recorderResource = map[string]any{"service.name": "recorder", "service.instance.id": "recorder-1", "layer": "streaming"}

// reused lets one request after the other through one walk, as the pool may do.
type reused struct {
	gateTest
	walk *walk
}

func newReused(t *testing.T, of signal, limit func(*Limits)) reused {
	g := newGate(t, of, func(c *catalogue) { limit(&c.limits) })
	return reused{g, g.walks.Get().(*walk)}
}

func oneItem(limits *Limits) { limits.Items = 1 }

// send is a request with so many items of each of the resources.
func (r reused) send(client string, items int, resources ...map[string]any) {
	r.walk.begin(r.core, r.signal, client, time.Now())
	metrics, traces, logs := pmetric.NewMetrics(), ptrace.NewTraces(), plog.NewLogs()
	for _, resource := range resources {
		one := gauge(resource, "recorder.load", "", nil)
		for points := one.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints(); points.Len() < items; {
			points.At(0).CopyTo(points.AppendEmpty())
		}
		one.ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
		trace, _ := oneSpan(resource, "work", nil)
		for spans := trace.ResourceSpans().At(0).ScopeSpans().At(0).Spans(); spans.Len() < items; {
			spans.At(0).CopyTo(spans.AppendEmpty())
		}
		trace.ResourceSpans().MoveAndAppendTo(traces.ResourceSpans())
		log, _ := oneRecord(resource, "work", nil)
		for records := log.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords(); records.Len() < items; {
			records.At(0).CopyTo(records.AppendEmpty())
		}
		log.ResourceLogs().MoveAndAppendTo(logs.ResourceLogs())
	}
	switch r.signal {
	case metricsSignal:
		r.walk.metrics(metrics)
	case tracesSignal:
		r.walk.traces(traces)
	case logsSignal:
		r.walk.logs(logs)
	}
}

// refusedForTheirNumber expects that so many items of no layer were, in so many of the request's resources.
func (r reused) refusedForTheirNumber(t *testing.T, items int64, gone, resources int) {
	t.Helper()
	for slot, counts := range r.walk.tally.refused {
		if counts[itemsRefused] != items {
			t.Errorf("of slot %d are %d items refused, expected are %d", slot, counts[itemsRefused], items)
		}
		items = 0
	}
	if r.walk.tally.gone != gone || r.walk.tally.resources != resources {
		t.Errorf("%d of %d resources are gone, expected are %d of %d", r.walk.tally.gone, r.walk.tally.resources, gone, resources)
	}
}

func ofEverySignal(t *testing.T, test func(*testing.T, signal)) {
	for of := range signals {
		t.Run(signalNames[of], func(t *testing.T) { test(t, of) })
	}
}

func TestTooManyItemsAreOfNoLayerWhateverTheRequestBeforeWas(t *testing.T) {
	ofEverySignal(t, func(t *testing.T, of signal) {
		r := newReused(t, of, oneItem)
		r.send("streaming", 1, recorderResource)
		r.refusedForTheirNumber(t, 0, 0, 1)
		r.send("business", 3, apiResource)
		r.refusedForTheirNumber(t, 3, 1, 1)
	})
}

func TestTooManyItemsAreOfNoLayerWhateverTheResourceBeforeWas(t *testing.T) {
	ofEverySignal(t, func(t *testing.T, of signal) {
		r := newReused(t, of, oneItem)
		r.send("agent", 1, recorderResource, with(apiResource, map[string]any{"layer": "business"}))
		r.refusedForTheirNumber(t, 1, 1, 2)
	})
}

func TestTooManyResourcesAreOfNoLayer(t *testing.T) {
	ofEverySignal(t, func(t *testing.T, of signal) {
		r := newReused(t, of, func(limits *Limits) { limits.Resources = 1 })
		r.send("streaming", 1, recorderResource, recorderResource, recorderResource)
		r.refusedForTheirNumber(t, 2, 2, 3)
	})
}

const fewerLayers = `
version: test-2
clients: {business: [business]}
attributes:
  service.name: {type: code}
  service.instance.id: {type: text}
layers:
  business:
    signals: [metrics, traces, logs]
    services: [work-api]
    resource: [service.instance.id]
    budget: {series: 10, client_series: 10, span_names: 1}
limits: {items: 1}
`

func TestTooManyItemsUnderACatalogueOfFewerLayersAreRefusedLikeAnyOther(t *testing.T) {
	ofEverySignal(t, func(t *testing.T, of signal) {
		r := newReused(t, of, oneItem)
		r.send("streaming", 1, recorderResource)
		if err := r.use([]byte(fewerLayers), time.Now()); err != nil {
			t.Fatal(err)
		}
		r.send("business", 3, apiResource)
		r.refusedForTheirNumber(t, 3, 1, 1)
	})
}
