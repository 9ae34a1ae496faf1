package kafkabuckets

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// onDisk are the settings of the exporter behind the queue on disk; its name tells it apart in metrics and storage.
func (e *bucketExporter[T]) onDisk(set exporter.Settings) exporter.Settings {
	name := "disk"
	if set.ID.Name() != "" {
		name = set.ID.Name() + "-disk"
	}
	set.ID = component.NewIDWithName(kind, name)
	e.waiting = &sizes{MeterProvider: set.MeterProvider}
	set.MeterProvider = e.waiting
	return set
}

// behind are the options of the exporter behind the queue on disk: it tries until Kafka takes what it has.
func (c *Config) behind() []exporterhelper.Option {
	spill := c.Spill.Get()
	retry := c.Retry
	retry.Enabled, retry.MaxElapsedTime = true, 0
	return []exporterhelper.Option{
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: spill.Timeout}),
		exporterhelper.WithQueue(configoptional.Some(spill.Queue)),
		exporterhelper.WithRetry(retry),
	}
}

// lifecycle starts the disk's exporter after the client, and stops it before.
func (e *bucketExporter[T]) lifecycle(disk component.Component) []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(func(ctx context.Context, host component.Host) error {
			if err := e.start(ctx, host); err != nil || disk == nil {
				return err
			}
			watched(host, e.config.Topic, e.waiting)
			return disk.Start(ctx, host)
		}),
		exporterhelper.WithShutdown(func(ctx context.Context) error {
			var err error
			if disk != nil {
				err = disk.Shutdown(ctx)
			}
			return errors.Join(err, e.shutdown(ctx))
		}),
	}
}

// withDisk keeps how data gets to the queue on disk.
func (e *bucketExporter[T]) withDisk(disk component.Component, spill func(context.Context, T) error) component.Component {
	e.spill = spill
	return disk
}

func newMetrics(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Metrics, error) {
	e, err := newExporter(set, config.(*Config), metricsOperations)
	if err != nil {
		return nil, err
	}
	return metricsExporter(ctx, set, e)
}

func metricsExporter(ctx context.Context, set exporter.Settings, e *bucketExporter[pmetric.Metrics]) (exporter.Metrics, error) {
	var disk component.Component
	if e.config.Spill.HasValue() {
		made, err := exporterhelper.NewMetrics(ctx, e.onDisk(set), e.config, e.write, e.config.behind()...)
		if err != nil {
			return nil, err
		}
		disk = e.withDisk(made, made.ConsumeMetrics)
	}
	return exporterhelper.NewMetrics(ctx, set, e.config, e.push, append(e.front(), e.lifecycle(disk)...)...)
}

func newTraces(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Traces, error) {
	e, err := newExporter(set, config.(*Config), tracesOperations)
	if err != nil {
		return nil, err
	}
	return tracesExporter(ctx, set, e)
}

func tracesExporter(ctx context.Context, set exporter.Settings, e *bucketExporter[ptrace.Traces]) (exporter.Traces, error) {
	var disk component.Component
	if e.config.Spill.HasValue() {
		made, err := exporterhelper.NewTraces(ctx, e.onDisk(set), e.config, e.write, e.config.behind()...)
		if err != nil {
			return nil, err
		}
		disk = e.withDisk(made, made.ConsumeTraces)
	}
	return exporterhelper.NewTraces(ctx, set, e.config, e.push, append(e.front(), e.lifecycle(disk)...)...)
}

func newLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	e, err := newExporter(set, config.(*Config), logsOperations)
	if err != nil {
		return nil, err
	}
	return logsExporter(ctx, set, e)
}

func logsExporter(ctx context.Context, set exporter.Settings, e *bucketExporter[plog.Logs]) (exporter.Logs, error) {
	var disk component.Component
	if e.config.Spill.HasValue() {
		made, err := exporterhelper.NewLogs(ctx, e.onDisk(set), e.config, e.write, e.config.behind()...)
		if err != nil {
			return nil, err
		}
		disk = e.withDisk(made, made.ConsumeLogs)
	}
	return exporterhelper.NewLogs(ctx, set, e.config, e.push, append(e.front(), e.lifecycle(disk)...)...)
}
