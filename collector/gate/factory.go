// Package gate is a processor that lets pass what the platform's catalogue knows: who may send, what, how much, and with
// free text masked. It is the one pass over what comes in.
package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
)

const shortestKey = 32

// Config is the processor's section in the collector's configuration; what passes stands in the catalogue file.
type Config struct {
	// Catalogue is the file with the Catalogue, YAML or JSON.
	Catalogue string `mapstructure:"catalogue"`
	// HashKey is the key of the pseudonyms, at least 32 bytes.
	HashKey configopaque.String `mapstructure:"hash_key"`
	// ReloadInterval is how often the file is looked at.
	ReloadInterval time.Duration `mapstructure:"reload_interval"`
	// CacheEntries bounds how many texts, keys and ids are remembered, of each.
	CacheEntries int `mapstructure:"cache_entries"`
}

// Validate checks what does not depend on the file.
func (c *Config) Validate() error {
	if c.Catalogue == "" {
		return errors.New("catalogue must name a file")
	}
	if size := len(c.HashKey); size < shortestKey {
		return fmt.Errorf("hash_key has %d bytes, must have at least %d", size, shortestKey)
	}
	if c.ReloadInterval < time.Second {
		return fmt.Errorf("reload_interval is %s, must be at least 1s", c.ReloadInterval)
	}
	if c.CacheEntries < 1024 {
		return fmt.Errorf("cache_entries is %d, must be at least 1024", c.CacheEntries)
	}
	return nil
}

func defaultConfig() component.Config {
	return &Config{ReloadInterval: 10 * time.Second, CacheEntries: 32 << 10}
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() processor.Factory {
	return processor.NewFactory(component.MustNewType("gate"), defaultConfig,
		processor.WithMetrics(newMetrics, component.StabilityLevelStable),
		processor.WithTraces(newTraces, component.StabilityLevelStable),
		processor.WithLogs(newLogs, component.StabilityLevelStable))
}

func (c *core) options() []processorhelper.Option {
	return []processorhelper.Option{
		processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}),
		processorhelper.WithStart(c.start),
		processorhelper.WithShutdown(c.shutdown),
	}
}

func newMetrics(ctx context.Context, set processor.Settings, config component.Config, next consumer.Metrics) (processor.Metrics, error) {
	c, err := newCore(set, config.(*Config), metricsSignal)
	if err != nil {
		return nil, err
	}
	return processorhelper.NewMetrics(ctx, set, config, next, c.metrics, c.options()...)
}

func newTraces(ctx context.Context, set processor.Settings, config component.Config, next consumer.Traces) (processor.Traces, error) {
	c, err := newCore(set, config.(*Config), tracesSignal)
	if err != nil {
		return nil, err
	}
	return processorhelper.NewTraces(ctx, set, config, next, c.traces, c.options()...)
}

func newLogs(ctx context.Context, set processor.Settings, config component.Config, next consumer.Logs) (processor.Logs, error) {
	c, err := newCore(set, config.(*Config), logsSignal)
	if err != nil {
		return nil, err
	}
	return processorhelper.NewLogs(ctx, set, config, next, c.logs, c.options()...)
}
