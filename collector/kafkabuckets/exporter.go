package kafkabuckets

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
)

// operations are what one signal's data can do.
type operations[T any] struct {
	split   func(*Config, T) []bucket[T]
	marshal func(T) ([]byte, error)
	halve   func(T) (T, bool) // moves half of the resources out; false: there is one
	count   func(T) int
	join    func(into, from T)
	create  func() T
	failed  func(error, T) error
}

var (
	metricsOperations = operations[pmetric.Metrics]{
		split: splitMetrics, marshal: (&pmetric.ProtoMarshaler{}).MarshalMetrics, count: pmetric.Metrics.DataPointCount, create: pmetric.NewMetrics,
		halve: func(data pmetric.Metrics) (pmetric.Metrics, bool) {
			rest := pmetric.NewMetrics()
			half := data.ResourceMetrics().Len() / 2
			at := 0
			data.ResourceMetrics().RemoveIf(func(each pmetric.ResourceMetrics) bool {
				if at++; at > half {
					return false
				}
				each.MoveTo(rest.ResourceMetrics().AppendEmpty())
				return true
			})
			return rest, half > 0
		},
		join:   func(into, from pmetric.Metrics) { from.ResourceMetrics().MoveAndAppendTo(into.ResourceMetrics()) },
		failed: func(err error, data pmetric.Metrics) error { return consumererror.NewMetrics(err, data) },
	}
	tracesOperations = operations[ptrace.Traces]{
		split: splitTraces, marshal: (&ptrace.ProtoMarshaler{}).MarshalTraces, count: ptrace.Traces.SpanCount, create: ptrace.NewTraces,
		halve: func(data ptrace.Traces) (ptrace.Traces, bool) {
			rest := ptrace.NewTraces()
			half := data.ResourceSpans().Len() / 2
			at := 0
			data.ResourceSpans().RemoveIf(func(each ptrace.ResourceSpans) bool {
				if at++; at > half {
					return false
				}
				each.MoveTo(rest.ResourceSpans().AppendEmpty())
				return true
			})
			return rest, half > 0
		},
		join:   func(into, from ptrace.Traces) { from.ResourceSpans().MoveAndAppendTo(into.ResourceSpans()) },
		failed: func(err error, data ptrace.Traces) error { return consumererror.NewTraces(err, data) },
	}
	logsOperations = operations[plog.Logs]{
		split: splitLogs, marshal: (&plog.ProtoMarshaler{}).MarshalLogs, count: plog.Logs.LogRecordCount, create: plog.NewLogs,
		halve: func(data plog.Logs) (plog.Logs, bool) {
			rest := plog.NewLogs()
			half := data.ResourceLogs().Len() / 2
			at := 0
			data.ResourceLogs().RemoveIf(func(each plog.ResourceLogs) bool {
				if at++; at > half {
					return false
				}
				each.MoveTo(rest.ResourceLogs().AppendEmpty())
				return true
			})
			return rest, half > 0
		},
		join:   func(into, from plog.Logs) { from.ResourceLogs().MoveAndAppendTo(into.ResourceLogs()) },
		failed: func(err error, data plog.Logs) error { return consumererror.NewLogs(err, data) },
	}
)

// overhead is what Kafka adds to a record's value, generously.
const overhead = 1 << 9

// bucketExporter writes the batches of one signal.
type bucketExporter[T any] struct {
	operations[T]
	config    *Config
	logger    *zap.Logger
	telemetry *telemetry
	options   []kgo.Opt // of tests
	client    *kgo.Client
	once      sync.Once
	breaker   breaker
	spill     func(context.Context, T) error // nil: there is none
	waiting   *sizes                         // of the queue on disk
}

func (e *bucketExporter[T]) start(ctx context.Context, _ component.Host) (err error) {
	e.client, err = newClient(ctx, e.config, e.options...)
	return err
}

func (e *bucketExporter[T]) shutdown(ctx context.Context) error {
	if e.client == nil {
		return nil
	}
	e.once.Do(func() {
		flush, cancel := context.WithTimeout(ctx, e.config.TimeoutConfig.Timeout)
		defer cancel()
		if err := e.client.Flush(flush); err != nil { // nothing that was acknowledged: that is in Kafka or on disk
			e.logger.Info("Kafka did not take the last records", zap.Error(err))
		}
		e.client.Close()
	})
	return nil
}

// write puts the data into Kafka. The error holds what is left to be sent again.
func (e *bucketExporter[T]) write(ctx context.Context, data T) error {
	if e.client == nil {
		return errors.New("kafkabuckets: not started")
	}
	buckets := e.fit(e.split(e.config, data))
	indexes, values := make([]int, len(buckets)), make([][]byte, len(buckets))
	var lost error
	for at, each := range buckets {
		indexes[at] = each.index
		value, err := e.marshal(each.data)
		if err == nil && len(value) > e.config.MaxMessageBytes-overhead {
			err = fmt.Errorf("%w: %d bytes", errTooLarge, len(value))
		}
		if err != nil {
			lost = errors.Join(lost, err)
			e.telemetry.lost(ctx, e.count(each.data))
			continue
		}
		values[at] = value
	}
	began := time.Now()
	left, failed := e.create(), error(nil)
	for at, err := range produce(ctx, e.client, e.config.Topic, indexes, values) {
		if values[at] == nil {
			continue
		}
		items := e.count(buckets[at].data)
		e.telemetry.record(ctx, len(values[at]), items, time.Since(began), err)
		switch {
		case err == nil:
		case permanent(err):
			lost = errors.Join(lost, err)
			e.telemetry.lost(ctx, items)
		default:
			failed = err
			e.join(left, buckets[at].data)
		}
	}
	if failed != nil {
		if lost != nil {
			e.logger.Error("records that Kafka will never take are lost", zap.Error(lost))
		}
		return e.failed(failed, left)
	}
	if lost != nil {
		return consumererror.NewPermanent(lost)
	}
	return nil
}

// fit halves buckets until each fits into a record, or is one resource.
func (e *bucketExporter[T]) fit(buckets []bucket[T]) []bucket[T] {
	for at := 0; at < len(buckets); at++ {
		for e.size(buckets[at].data) > e.config.MaxMessageBytes-overhead {
			rest, ok := e.halve(buckets[at].data)
			if !ok {
				break
			}
			buckets = append(buckets, bucket[T]{buckets[at].index, rest})
		}
	}
	return buckets
}

func (e *bucketExporter[T]) size(data T) int {
	switch data := any(data).(type) {
	case pmetric.Metrics:
		return (&pmetric.ProtoMarshaler{}).MetricsSize(data)
	case ptrace.Traces:
		return (&ptrace.ProtoMarshaler{}).TracesSize(data)
	case plog.Logs:
		return (&plog.ProtoMarshaler{}).LogsSize(data)
	}
	return 0
}

// push is what the queue in memory calls: Kafka while it answers, the disk while it does not.
func (e *bucketExporter[T]) push(ctx context.Context, data T) error {
	if e.spill == nil {
		return e.write(ctx, data)
	}
	if !e.breaker.allow(time.Now(), e.config.Spill.Get().ProbeInterval) {
		e.telemetry.spilled(ctx, e.count(data))
		return e.spill(ctx, data)
	}
	err := e.write(ctx, data)
	if err == nil || consumererror.IsPermanent(err) {
		if e.breaker.close() {
			e.logger.Info("Kafka answers again; requests wait for it")
		}
		return err
	}
	if e.breaker.open(time.Now(), e.config.Spill.Get().ProbeInterval) {
		e.logger.Warn("Kafka does not answer; requests go to the queue on disk", zap.Error(err))
	}
	rest := remaining[T](err)
	e.telemetry.spilled(ctx, e.count(rest))
	return e.spill(context.WithoutCancel(ctx), rest)
}

// remaining is the data that an error of write holds.
func remaining[T any](err error) (data T) {
	var metrics consumererror.Metrics
	var traces consumererror.Traces
	var logs consumererror.Logs
	switch any(data).(type) {
	case pmetric.Metrics:
		if errors.As(err, &metrics) {
			return any(metrics.Data()).(T)
		}
	case ptrace.Traces:
		if errors.As(err, &traces) {
			return any(traces.Data()).(T)
		}
	case plog.Logs:
		if errors.As(err, &logs) {
			return any(logs.Data()).(T)
		}
	}
	panic("kafkabuckets: an error without its data")
}

// breaker remembers whether Kafka answered last.
type breaker struct {
	probe atomic.Int64 // when a batch may be tried next, 0: Kafka answers
}

// allow tells whether a batch may be tried on Kafka: any while it answers, else one an interval.
func (b *breaker) allow(now time.Time, interval time.Duration) bool {
	next := b.probe.Load()
	if next == 0 {
		return true
	}
	return now.UnixNano() >= next && b.probe.CompareAndSwap(next, now.Add(interval).UnixNano())
}

// open tells whether Kafka answered until now.
func (b *breaker) open(now time.Time, interval time.Duration) bool {
	return b.probe.Swap(now.Add(interval).UnixNano()) == 0
}

// close tells whether Kafka did not answer until now.
func (b *breaker) close() bool { return b.probe.Swap(0) != 0 }

func newExporter[T any](set exporter.Settings, config *Config, with operations[T]) (*bucketExporter[T], error) {
	made, err := newTelemetry(set.TelemetrySettings, config.Topic)
	if err != nil {
		return nil, err
	}
	return &bucketExporter[T]{operations: with, config: config, logger: set.Logger, telemetry: made}, nil
}

func (e *bucketExporter[T]) front() []exporterhelper.Option {
	options := []exporterhelper.Option{
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		exporterhelper.WithTimeout(e.config.TimeoutConfig),
		exporterhelper.WithQueue(e.config.Queue),
	}
	retry := e.config.Retry
	if e.config.Spill.HasValue() {
		retry.Enabled = false // the disk is the other try
	}
	return append(options, exporterhelper.WithRetry(retry))
}
