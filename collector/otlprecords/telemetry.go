package otlprecords

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const scopeName = "obs-platform/collector/otlprecords"

// telemetry is what the exporter tells about itself.
type telemetry struct {
	sent, lost, splits, requests metric.Int64Counter
	logger                       *zap.Logger // ten lines a minute of each kind
}

func newTelemetry(set component.TelemetrySettings) (*telemetry, error) {
	meter := set.MeterProvider.Meter(scopeName)
	var failed []error
	counter := func(name, description, unit string) metric.Int64Counter {
		made, err := meter.Int64Counter(name, metric.WithDescription(description), metric.WithUnit(unit))
		failed = append(failed, err)
		return made
	}
	t := &telemetry{
		sent:     counter("otelcol_otlprecords_sent_items", "Data points that the server has taken.", "{items}"),
		lost:     counter("otelcol_otlprecords_lost_items", "Data points that the server refuses for ever.", "{items}"),
		splits:   counter("otelcol_otlprecords_splits", "Requests that were refused and halved.", "{requests}"),
		requests: counter("otelcol_otlprecords_requests", "Requests, by outcome.", "{requests}"),
		logger: set.Logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 0)
		})),
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	// From the start, so that the first loss is an increase.
	for _, from := range []metric.Int64Counter{t.sent, t.lost, t.splits} {
		from.Add(context.Background(), 0)
	}
	return t, nil
}

func (t *telemetry) request(ctx context.Context, outcome string) {
	t.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}
