// Package otlprecords is an exporter that sends Kafka records to a server of OTLP as they are. A record's value is a request
// of OTLP already, and the values of several records, one after the other, are one request with all of them; so nothing is
// decoded while the server takes what it gets. One bad item does not take the others with it: a request that is refused
// for ever is halved, first into its records, then into the points of one, until the culprit is alone; it is counted and
// named, and everything else arrives, beginning with the largest parts. Any other answer is an error for the sender, who sends the record again.
package otlprecords

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// Config is the exporter's section in the collector's configuration.
type Config struct {
	// ClientConfig is the client of HTTP; its endpoint is the whole URL to which metrics are posted.
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"`
	// MaxRequests bounds what one refused record may cost; what is still together then is given up together. Of what the
	// server answers with faults alone it bounds each of two searches.
	MaxRequests int `mapstructure:"max_requests"`
	// JoinedBytes is how many bytes of waiting records are sent together; a single record may have more.
	JoinedBytes int `mapstructure:"joined_bytes"`
	// InFlight is how many requests are under way at the same time.
	InFlight int `mapstructure:"in_flight"`
	// Linger is how long a request waits for more records to come.
	Linger time.Duration `mapstructure:"linger"`
}

// Validate names the mistake.
func (c *Config) Validate() error {
	if address, err := url.Parse(c.ClientConfig.Endpoint); err != nil || address.Host == "" {
		return fmt.Errorf("endpoint is %q, must be a URL with its path", c.ClientConfig.Endpoint)
	}
	if c.MaxRequests < 2 {
		return fmt.Errorf("max_requests is %d, must be at least 2", c.MaxRequests)
	}
	if c.JoinedBytes < 0 {
		return fmt.Errorf("joined_bytes is %d, must be 0 or more", c.JoinedBytes)
	}
	if c.InFlight < 1 {
		return fmt.Errorf("in_flight is %d, must be at least 1", c.InFlight)
	}
	if c.Linger < 0 || c.Linger > time.Second {
		return fmt.Errorf("linger is %s, must be from 0s to 1s", c.Linger)
	}
	return nil
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(component.MustNewType("otlprecords"), defaultConfig,
		exporter.WithLogs(newExporter, component.StabilityLevelStable))
}

func defaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	return &Config{ClientConfig: client, MaxRequests: 500, InFlight: 1}
}

// recordExporter takes records as the Kafka receiver gives them with the encoding `raw`: log records with a body of bytes.
type recordExporter struct {
	config    *Config
	settings  component.TelemetrySettings
	telemetry *telemetry
	client    *http.Client
	joiner    *joiner
	known     atomic.Pointer[record] // the last one that the server took
}

func newExporter(_ context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	counters, err := newTelemetry(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &recordExporter{config: config.(*Config), settings: set.TelemetrySettings, telemetry: counters}
	e.joiner = newJoiner(e.config, e.send)
	return e, nil
}

func (e *recordExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// Start makes the client: what signs requests is known only now.
func (e *recordExporter) Start(ctx context.Context, host component.Host) (err error) {
	e.client, err = e.config.ClientConfig.ToClient(ctx, host.GetExtensions(), e.settings)
	return err
}

// Shutdown ends the requests that are under way; their senders hear of it.
func (e *recordExporter) Shutdown(context.Context) error {
	e.joiner.close()
	if e.client != nil {
		e.client.CloseIdleConnections()
	}
	return nil
}

var errNoBytes = errors.New("a record has no bytes: the receiver's encoding must be raw")

// ConsumeLogs returns when the server has answered for each record.
func (e *recordExporter) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, item := range scope.LogRecords().All() {
				if item.Body().Type() != pcommon.ValueTypeBytes {
					return errNoBytes
				}
				if err := e.joiner.consume(ctx, newRecord(item.Body().Bytes().AsRaw())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
