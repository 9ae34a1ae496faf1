// Package bisect is a connector between a queue of records and a server that answers for each request as a whole. Records
// that wait are sent together, and one bad item does not take the others with it: what the next consumer refuses for ever
// is halved until the culprit is alone; the culprit is counted and named, and everything else arrives.
package bisect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config is the connector's section in the collector's configuration.
type Config struct {
	// MaxRequests bounds what one refused record may cost; what is still together then is given up together.
	MaxRequests int `mapstructure:"max_requests"`
	// JoinedItems is how many items of waiting records are sent together; 0: each record is a request.
	JoinedItems int `mapstructure:"joined_items"`
	// InFlight is how many requests of joined records are under way at the same time.
	InFlight int `mapstructure:"in_flight"`
	// Linger is how long a request of joined records waits for others to come.
	Linger time.Duration `mapstructure:"linger"`
}

// Validate names the mistake.
func (c *Config) Validate() error {
	if c.MaxRequests < 2 {
		return fmt.Errorf("max_requests is %d, must be at least 2", c.MaxRequests)
	}
	if c.JoinedItems < 0 {
		return fmt.Errorf("joined_items is %d, must be 0 or more", c.JoinedItems)
	}
	if c.JoinedItems > 0 && c.InFlight < 1 {
		return fmt.Errorf("in_flight is %d, must be at least 1", c.InFlight)
	}
	if c.Linger < 0 || c.Linger > time.Second {
		return fmt.Errorf("linger is %s, must be from 0s to 1s", c.Linger)
	}
	return nil
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() connector.Factory {
	return connector.NewFactory(component.MustNewType("bisect"),
		func() component.Config { return &Config{MaxRequests: 500, InFlight: 1} },
		connector.WithMetricsToMetrics(newMetrics, component.StabilityLevelStable),
		connector.WithTracesToTraces(newTraces, component.StabilityLevelStable),
		connector.WithLogsToLogs(newLogs, component.StabilityLevelStable))
}

// operations are what one signal's data can do.
type operations[T any] struct {
	signal string
	count  func(T) int
	join   func(into, from T)
	part   func(data T, from, to int) T
	name   func(T) []zap.Field
}

type bisector[T any] struct {
	component.StartFunc
	operations[T]
	config *Config
	joiner *joiner[T] // nil: each record is a request
	logger *zap.Logger
	next   func(context.Context, T) error
	lost   metric.Int64Counter
	splits metric.Int64Counter
	labels metric.MeasurementOption
}

const scopeName = "obs-platform/collector/bisect"

func newBisector[T any](set connector.Settings, config component.Config, with operations[T], mutates bool, next func(context.Context, T) error) (*bisector[T], error) {
	if mutates {
		return nil, errors.New("bisect: the pipeline behind it changes data, so what it refused could not be sent again in parts")
	}
	meter := set.MeterProvider.Meter(scopeName)
	lost, err := meter.Int64Counter("otelcol_bisect_lost_items", metric.WithDescription("Items that the next consumer refuses for ever."), metric.WithUnit("{items}"))
	if err != nil {
		return nil, err
	}
	splits, err := meter.Int64Counter("otelcol_bisect_splits", metric.WithDescription("Records that were refused and halved."), metric.WithUnit("{records}"))
	if err != nil {
		return nil, err
	}
	limited := set.Logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 0) // ten lines a minute
	}))
	b := &bisector[T]{
		operations: with, config: config.(*Config), logger: limited, next: next, lost: lost, splits: splits,
		labels: metric.WithAttributes(attribute.String("signal", with.signal)),
	}
	if b.config.JoinedItems > 0 {
		b.joiner = newJoiner(with, b.config, b.send)
	}
	return b, nil
}

func (b *bisector[T]) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: b.joiner != nil}
}

// Shutdown ends the requests that are under way; their callers hear of it.
func (b *bisector[T]) Shutdown(context.Context) error {
	if b.joiner != nil {
		b.joiner.close()
	}
	return nil
}

// consume sends data on. Only an error that may pass is returned; what was sent by then is sent again with the rest.
func (b *bisector[T]) consume(ctx context.Context, data T) error {
	if b.joiner != nil {
		return b.joiner.consume(ctx, data)
	}
	return b.send(ctx, data, 1)
}

// send sends the data of so many records as one request, and in parts what was refused for ever.
func (b *bisector[T]) send(ctx context.Context, data T, records int) error {
	err := b.next(ctx, data)
	if err == nil || !consumererror.IsPermanent(err) {
		return err
	}
	b.splits.Add(ctx, 1, b.labels)
	left := records*b.config.MaxRequests - 1
	return b.halve(ctx, data, b.count(data), err, &left)
}

// halve sends the two halves of what was refused.
func (b *bisector[T]) halve(ctx context.Context, data T, count int, refused error, left *int) error {
	if count <= 1 || *left < 2 {
		b.giveUp(ctx, data, count, refused)
		return nil
	}
	half := count / 2
	for _, bounds := range [][2]int{{0, half}, {half, count}} {
		part := b.part(data, bounds[0], bounds[1])
		if *left <= 0 {
			b.giveUp(ctx, part, bounds[1]-bounds[0], refused)
			continue
		}
		*left--
		err := b.next(ctx, part)
		if err == nil {
			continue
		}
		if !consumererror.IsPermanent(err) {
			return err
		}
		if err := b.halve(ctx, part, bounds[1]-bounds[0], err, left); err != nil {
			return err
		}
	}
	return nil
}

func (b *bisector[T]) giveUp(ctx context.Context, data T, count int, refused error) {
	b.lost.Add(ctx, int64(count), b.labels)
	b.logger.Error("refused for ever and given up", append(b.name(data), zap.String("signal", b.signal), zap.Int("items", count), zap.Error(refused))...)
}

type metricsBisector struct{ *bisector[pmetric.Metrics] }

func (b metricsBisector) ConsumeMetrics(ctx context.Context, data pmetric.Metrics) error {
	return b.consume(ctx, data)
}

type tracesBisector struct{ *bisector[ptrace.Traces] }

func (b tracesBisector) ConsumeTraces(ctx context.Context, data ptrace.Traces) error {
	return b.consume(ctx, data)
}

type logsBisector struct{ *bisector[plog.Logs] }

func (b logsBisector) ConsumeLogs(ctx context.Context, data plog.Logs) error {
	return b.consume(ctx, data)
}

func newMetrics(_ context.Context, set connector.Settings, config component.Config, next consumer.Metrics) (connector.Metrics, error) {
	made, err := newBisector(set, config, metricsOperations, next.Capabilities().MutatesData, next.ConsumeMetrics)
	return metricsBisector{made}, err
}

func newTraces(_ context.Context, set connector.Settings, config component.Config, next consumer.Traces) (connector.Traces, error) {
	made, err := newBisector(set, config, tracesOperations, next.Capabilities().MutatesData, next.ConsumeTraces)
	return tracesBisector{made}, err
}

func newLogs(_ context.Context, set connector.Settings, config component.Config, next consumer.Logs) (connector.Logs, error) {
	made, err := newBisector(set, config, logsOperations, next.Capabilities().MutatesData, next.ConsumeLogs)
	return logsBisector{made}, err
}
