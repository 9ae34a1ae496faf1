package kafkabuckets

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
)

// watcher is an extension that wants to know what waits on disk.
type watcher interface {
	Watch(name string, size func() int64)
}

// watched tells extensions of a queue.
func watched(host component.Host, name string, of *sizes) {
	for _, extension := range host.GetExtensions() {
		if watching, ok := extension.(watcher); ok {
			watching.Watch(name, of.read)
		}
	}
}

const queueSize = "otelcol_exporter_queue_size"

// sizes is a provider of meters that keeps how a queue's size is read: exporterhelper tells it as a metric, and nowhere
// else.
type sizes struct {
	metric.MeterProvider
	mutex sync.Mutex
	reads []func() int64
}

func (s *sizes) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return &sizesMeter{Meter: s.MeterProvider.Meter(name, options...), of: s}
}

func (s *sizes) read() (sum int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, read := range s.reads {
		sum += read()
	}
	return sum
}

type sizesMeter struct {
	metric.Meter
	of    *sizes
	gauge metric.Int64ObservableGauge
}

func (m *sizesMeter) Int64ObservableGauge(name string, options ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	made, err := m.Meter.Int64ObservableGauge(name, options...)
	if name == queueSize {
		m.gauge = made
	}
	return made, err
}

func (m *sizesMeter) RegisterCallback(observe metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	if gauge := m.gauge; gauge != nil && slices.Contains(instruments, metric.Observable(gauge)) {
		m.of.mutex.Lock()
		defer m.of.mutex.Unlock()
		m.of.reads = append(m.of.reads, func() int64 {
			seen := &observed{gauge: gauge}
			_ = observe(context.Background(), seen)
			return seen.size
		})
	}
	return m.Meter.RegisterCallback(observe, instruments...)
}

type observed struct {
	embedded.Observer
	gauge metric.Observable
	size  int64
}

func (o *observed) ObserveInt64(instrument metric.Int64Observable, value int64, _ ...metric.ObserveOption) {
	if instrument == o.gauge {
		o.size += value
	}
}

func (o *observed) ObserveFloat64(metric.Float64Observable, float64, ...metric.ObserveOption) {}
