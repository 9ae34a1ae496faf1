package kafkabuckets

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const scopeName = "obs-platform/collector/kafkabuckets"

// telemetry are the exporter's own metrics, beside those of exporterhelper.
type telemetry struct {
	topic                           attribute.KeyValue
	records, items, lostItems, disk metric.Int64Counter
	bytes                           metric.Int64Histogram
	latency                         metric.Float64Histogram
}

func newTelemetry(set component.TelemetrySettings, topic string) (*telemetry, error) {
	meter := set.MeterProvider.Meter(scopeName)
	t := &telemetry{topic: attribute.String("topic", topic)}
	var failed []error
	counter := func(name, description, unit string) metric.Int64Counter {
		made, err := meter.Int64Counter(name, metric.WithDescription(description), metric.WithUnit(unit))
		failed = append(failed, err)
		return made
	}
	t.records = counter("otelcol_kafkabuckets_records", "Records sent to Kafka, by outcome.", "{records}")
	t.items = counter("otelcol_kafkabuckets_items", "Data points, spans and log records in records that Kafka acknowledged.", "{items}")
	t.lostItems = counter("otelcol_kafkabuckets_lost_items", "Items in records that Kafka will never take.", "{items}")
	t.disk = counter("otelcol_kafkabuckets_spilled_items", "Items that went to the queue on disk, since Kafka did not answer.", "{items}")
	var err error
	t.bytes, err = meter.Int64Histogram("otelcol_kafkabuckets_record_bytes", metric.WithDescription("Size of a record's value, uncompressed."),
		metric.WithUnit("By"), metric.WithExplicitBucketBoundaries(1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20, 4<<20))
	failed = append(failed, err)
	t.latency, err = meter.Float64Histogram("otelcol_kafkabuckets_write_latency", metric.WithDescription("Time until all replicas in sync have a batch's records."),
		metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	failed = append(failed, err)
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	// From the start, so that the first loss is an increase.
	t.lost(context.Background(), 0)
	t.spilled(context.Background(), 0)
	return t, nil
}

func (t *telemetry) record(ctx context.Context, size, items int, took time.Duration, err error) {
	outcome := "success"
	if err != nil {
		outcome = "failure"
	}
	t.records.Add(ctx, 1, metric.WithAttributes(t.topic, attribute.String("outcome", outcome)))
	if err != nil {
		return
	}
	labels := metric.WithAttributes(t.topic)
	t.items.Add(ctx, int64(items), labels)
	t.bytes.Record(ctx, int64(size), labels)
	t.latency.Record(ctx, took.Seconds(), labels)
}

func (t *telemetry) lost(ctx context.Context, items int) {
	t.lostItems.Add(ctx, int64(items), metric.WithAttributes(t.topic))
}

func (t *telemetry) spilled(ctx context.Context, items int) {
	t.disk.Add(ctx, int64(items), metric.WithAttributes(t.topic))
}
