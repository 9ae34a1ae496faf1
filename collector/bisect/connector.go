// Package bisect is a connector that keeps one bad item from taking a whole record with it. What the next consumer refuses
// for ever is halved until the culprit is alone; the culprit is counted and named, and everything else arrives.
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
}

// Validate names the mistake.
func (c *Config) Validate() error {
	if c.MaxRequests < 2 {
		return fmt.Errorf("max_requests is %d, must be at least 2", c.MaxRequests)
	}
	return nil
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() connector.Factory {
	return connector.NewFactory(component.MustNewType("bisect"),
		func() component.Config { return &Config{MaxRequests: 500} },
		connector.WithMetricsToMetrics(newMetrics, component.StabilityLevelStable),
		connector.WithTracesToTraces(newTraces, component.StabilityLevelStable),
		connector.WithLogsToLogs(newLogs, component.StabilityLevelStable))
}

// operations are what one signal's data can do.
type operations[T any] struct {
	signal string
	count  func(T) int
	part   func(data T, from, to int) T
	name   func(T) []zap.Field
}

type bisector[T any] struct {
	component.StartFunc
	component.ShutdownFunc
	operations[T]
	config *Config
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
	return &bisector[T]{
		operations: with, config: config.(*Config), logger: limited, next: next, lost: lost, splits: splits,
		labels: metric.WithAttributes(attribute.String("signal", with.signal)),
	}, nil
}

func (*bisector[T]) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// consume sends data on. Only an error that may pass is returned; what was sent by then is sent again with the rest.
func (b *bisector[T]) consume(ctx context.Context, data T) error {
	err := b.next(ctx, data)
	if err == nil || !consumererror.IsPermanent(err) {
		return err
	}
	b.splits.Add(ctx, 1, b.labels)
	left := b.config.MaxRequests - 1
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
