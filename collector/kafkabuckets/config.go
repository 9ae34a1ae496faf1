// Package kafkabuckets is an exporter that fills Kafka records: what belongs to one key goes to one bucket, a bucket to
// one partition, and each bucket of a batch is one record. Resources stay whole.
//
// Records are acknowledged by all replicas in sync, written once (idempotent) and compressed with Snappy; none of that
// can be set otherwise. While Kafka answers, a request waits for it; while it does not, and a spill is configured,
// requests go to a queue on disk, from which they follow later.
package kafkabuckets

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// Config is the exporter's section in the collector's configuration.
type Config struct {
	// TimeoutConfig bounds one attempt to write a batch. With a spill it is how long Kafka may take to answer.
	TimeoutConfig exporterhelper.TimeoutConfig `mapstructure:",squash"`
	// Brokers are bootstrap addresses, host:port.
	Brokers  []string `mapstructure:"brokers"`
	ClientID string   `mapstructure:"client_id"`
	Topic    string   `mapstructure:"topic"`
	// Buckets is into how many records a batch is spread at most: the number of partitions.
	Buckets int `mapstructure:"buckets"`
	// KeyAttributes are resource attributes of which the first that is there is the key of metrics and logs. The key of a
	// span is its trace id.
	KeyAttributes   []string               `mapstructure:"key_attributes"`
	TLS             configtls.ClientConfig `mapstructure:"tls"`
	Auth            AuthConfig             `mapstructure:"auth"`
	MaxMessageBytes int                    `mapstructure:"max_message_bytes"`
	// Linger is how long a record waits for others of its partition.
	Linger time.Duration `mapstructure:"linger"`
	// MetadataRefresh is how often the client asks who leads a partition.
	MetadataRefresh time.Duration                                            `mapstructure:"metadata_refresh"`
	Queue           configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	Retry           configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`
	Spill           configoptional.Optional[SpillConfig]                     `mapstructure:"spill"`
}

// AuthConfig is SCRAM-SHA-512, the one mechanism of the platform; without a user there is none.
type AuthConfig struct {
	Username string              `mapstructure:"username"`
	Password configopaque.String `mapstructure:"password"`
}

// SpillConfig says where batches go while Kafka does not answer.
type SpillConfig struct {
	Queue exporterhelper.QueueBatchConfig `mapstructure:"sending_queue"`
	// Timeout bounds one attempt to write what is on disk: longer than Kafka takes to notice a lost broker.
	Timeout time.Duration `mapstructure:"timeout"`
	// ProbeInterval is how often a batch is tried on Kafka while the others go to disk.
	ProbeInterval time.Duration `mapstructure:"probe_interval"`
}

func defaultConfig() component.Config {
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.WaitForResult = true
	disk := exporterhelper.NewDefaultQueueConfig()
	return &Config{
		TimeoutConfig: exporterhelper.TimeoutConfig{Timeout: 5 * time.Second}, KeyAttributes: []string{"device_id", "service.name"},
		MaxMessageBytes: 1 << 20, Linger: 5 * time.Millisecond, MetadataRefresh: 10 * time.Second,
		Queue: configoptional.Some(queue), Retry: configretry.NewDefaultBackOffConfig(),
		Spill: configoptional.Default(SpillConfig{Queue: disk, Timeout: 15 * time.Second, ProbeInterval: 2 * time.Second}),
	}
}

// Validate names the first mistake.
func (c *Config) Validate() error {
	switch {
	case len(c.Brokers) == 0:
		return errors.New("brokers must name at least one address")
	case c.Topic == "":
		return errors.New("topic must be set")
	case c.Buckets < 1 || c.Buckets > 10_000:
		return fmt.Errorf("buckets is %d, must be 1 to 10000: the topic's partitions", c.Buckets)
	case len(c.KeyAttributes) == 0:
		return errors.New("key_attributes must name at least one resource attribute")
	case c.MaxMessageBytes < 1<<10:
		return fmt.Errorf("max_message_bytes is %d, must be at least 1024", c.MaxMessageBytes)
	case (c.Auth.Username == "") != (c.Auth.Password == ""):
		return errors.New("auth needs both username and password, or none")
	case c.TimeoutConfig.Timeout <= 0:
		return errors.New("timeout must be above 0: requests wait for Kafka that long")
	case c.MetadataRefresh < time.Second:
		return fmt.Errorf("metadata_refresh is %s, must be at least 1s", c.MetadataRefresh)
	}
	if !c.Spill.HasValue() {
		return nil
	}
	spill := c.Spill.Get()
	switch {
	case spill.Queue.StorageID == nil:
		return errors.New("spill.sending_queue.storage must name the storage: a spill in memory would be lost")
	case !c.Queue.HasValue() || !c.Queue.Get().WaitForResult || c.Queue.Get().StorageID != nil:
		return errors.New("with a spill, sending_queue must wait for the result, in memory: wait_for_result true, no storage")
	case spill.ProbeInterval <= 0 || spill.Timeout < c.TimeoutConfig.Timeout:
		return errors.New("spill.probe_interval must be above 0, spill.timeout at least timeout")
	}
	return nil
}

var kind = component.MustNewType("kafkabuckets")

// NewFactory makes the factory that the collector is built with.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(kind, defaultConfig,
		exporter.WithMetrics(newMetrics, component.StabilityLevelStable),
		exporter.WithTraces(newTraces, component.StabilityLevelStable),
		exporter.WithLogs(newLogs, component.StabilityLevelStable))
}
