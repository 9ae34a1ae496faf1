// Package kafkarecords is a receiver that reads records of Kafka for a group, at least once: a record's place is committed
// when the pipeline has answered for it, and until then it is tried without end.
//
// Its settings are those of the receiver `kafka` in opentelemetry-collector-contrib, as far as it has them
// (docs/adr/0064-own-kafka-receiver.md). It gives up a broker that hangs after seconds, and goes on with a partition that it
// lost and got again.
package kafkarecords

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
)

const (
	scramSHA512       = "SCRAM-SHA-512"
	cooperativeSticky = "cooperative-sticky"
	earliest          = "earliest"
	// raw hands a record's value over as the body of a log record, undecoded.
	raw = "raw"
	// otlpProto decodes a record's value as a request of OTLP.
	otlpProto = "otlp_proto"
)

// Config is the receiver's section in the collector's configuration.
type Config struct {
	// Brokers are bootstrap addresses, host:port.
	Brokers  []string               `mapstructure:"brokers"`
	ClientID string                 `mapstructure:"client_id"`
	TLS      configtls.ClientConfig `mapstructure:"tls"`
	Auth     AuthConfig             `mapstructure:"auth"`
	Metadata MetadataConfig         `mapstructure:"metadata"`
	GroupID  string                 `mapstructure:"group_id"`
	// GroupInstanceID makes the member a static one: a restart moves no partition.
	GroupInstanceID        string `mapstructure:"group_instance_id"`
	GroupRebalanceStrategy string `mapstructure:"group_rebalance_strategy"`
	// Shard is for the strategy `sharded` alone, which `kafka` does not have.
	Shard             ShardConfig   `mapstructure:"shard"`
	SessionTimeout    time.Duration `mapstructure:"session_timeout"`
	HeartbeatInterval time.Duration `mapstructure:"heartbeat_interval"`
	InitialOffset     string        `mapstructure:"initial_offset"`
	Logs              TopicsConfig  `mapstructure:"logs"`
	Traces            TopicsConfig  `mapstructure:"traces"`
	// MinFetchSize is how many bytes a broker waits for, at most MaxFetchWait.
	MinFetchSize int32         `mapstructure:"min_fetch_size"`
	MaxFetchWait time.Duration `mapstructure:"max_fetch_wait"`
	// MaxFetchSize bounds an answer of a broker, and MaxPartitionFetchSize one partition's part of it.
	MaxFetchSize          int32                     `mapstructure:"max_fetch_size"`
	MaxPartitionFetchSize int32                     `mapstructure:"max_partition_fetch_size"`
	AutoCommit            AutoCommitConfig          `mapstructure:"autocommit"`
	MessageMarking        MarkingConfig             `mapstructure:"message_marking"`
	ErrorBackOff          configretry.BackOffConfig `mapstructure:"error_backoff"`
}

// AuthConfig is how the receiver signs in.
type AuthConfig struct {
	SASL SASLConfig `mapstructure:"sasl"`
}

// SASLConfig is SCRAM-SHA-512, the one mechanism of the platform; without a user there is none.
type SASLConfig struct {
	Mechanism string              `mapstructure:"mechanism"`
	Username  string              `mapstructure:"username"`
	Password  configopaque.String `mapstructure:"password"`
}

// MetadataConfig says how often the client asks who leads a partition.
type MetadataConfig struct {
	RefreshInterval time.Duration `mapstructure:"refresh_interval"`
}

// TopicsConfig are topics of a signal, and how their records are decoded.
type TopicsConfig struct {
	Topics   []string `mapstructure:"topics"`
	Encoding string   `mapstructure:"encoding"`
}

// AutoCommitConfig says how often places are committed.
type AutoCommitConfig struct {
	Enable   bool          `mapstructure:"enable"`
	Interval time.Duration `mapstructure:"interval"`
}

// MarkingConfig says when a record counts as read.
type MarkingConfig struct {
	After            bool `mapstructure:"after"`
	OnError          bool `mapstructure:"on_error"`
	OnPermanentError bool `mapstructure:"on_permanent_error"`
}

func defaultConfig() component.Config {
	return &Config{
		Metadata:               MetadataConfig{RefreshInterval: 10 * time.Second},
		GroupRebalanceStrategy: cooperativeSticky,
		SessionTimeout:         45 * time.Second,
		HeartbeatInterval:      3 * time.Second,
		InitialOffset:          earliest,
		Logs:                   TopicsConfig{Encoding: raw},
		Traces:                 TopicsConfig{Encoding: otlpProto},
		MinFetchSize:           1,
		MaxFetchWait:           500 * time.Millisecond,
		MaxFetchSize:           8 << 20,
		MaxPartitionFetchSize:  4 << 20,
		AutoCommit:             AutoCommitConfig{Enable: true, Interval: time.Second},
		MessageMarking:         MarkingConfig{After: true, OnPermanentError: true},
		ErrorBackOff: configretry.BackOffConfig{
			Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 10 * time.Second,
			Multiplier: 1.5, RandomizationFactor: 0.2,
		},
	}
}

// Validate names the first mistake.
func (c *Config) Validate() error {
	sasl, marking := c.Auth.SASL, c.MessageMarking
	switch {
	case len(c.Brokers) == 0:
		return errors.New("brokers must name at least one address")
	case c.GroupID == "":
		return errors.New("group_id must be set")
	case len(c.Logs.Topics)+len(c.Traces.Topics) == 0:
		return errors.New("logs.topics or traces.topics must name a topic")
	case c.Logs.Encoding != raw:
		return fmt.Errorf("logs.encoding is %q, must be %s", c.Logs.Encoding, raw)
	case c.Traces.Encoding != otlpProto:
		return fmt.Errorf("traces.encoding is %q, must be %s", c.Traces.Encoding, otlpProto)
	case (sasl.Username == "") != (sasl.Password == ""):
		return errors.New("auth.sasl needs both username and password, or none")
	case sasl.Username != "" && sasl.Mechanism != scramSHA512:
		return fmt.Errorf("auth.sasl.mechanism is %q, must be %s", sasl.Mechanism, scramSHA512)
	case c.GroupRebalanceStrategy != cooperativeSticky && c.GroupRebalanceStrategy != sharded:
		return fmt.Errorf("group_rebalance_strategy is %q, must be %s or %s", c.GroupRebalanceStrategy, cooperativeSticky, sharded)
	case c.GroupRebalanceStrategy == sharded && c.Shard.validate() != nil:
		return c.Shard.validate()
	case c.GroupRebalanceStrategy != sharded && c.Shard != ShardConfig{}:
		return fmt.Errorf("shard needs group_rebalance_strategy: %s", sharded)
	case c.InitialOffset != earliest:
		return fmt.Errorf("initial_offset is %q, must be %s", c.InitialOffset, earliest)
	case c.Metadata.RefreshInterval < time.Second:
		return fmt.Errorf("metadata.refresh_interval is %s, must be at least 1s", c.Metadata.RefreshInterval)
	case c.HeartbeatInterval <= 0 || c.SessionTimeout <= c.HeartbeatInterval:
		return errors.New("session_timeout must be longer than heartbeat_interval, and both above 0")
	case c.MinFetchSize < 1 || c.MaxPartitionFetchSize < 1 || c.MaxFetchSize < c.MaxPartitionFetchSize:
		return errors.New("min_fetch_size and max_partition_fetch_size must be above 0, max_fetch_size at least the latter")
	case c.MaxFetchWait <= 0 || c.MaxFetchWait > longestWait:
		return fmt.Errorf("max_fetch_wait is %s, must be above 0 and at most %s", c.MaxFetchWait, longestWait)
	case !c.AutoCommit.Enable || c.AutoCommit.Interval <= 0:
		return errors.New("autocommit must be enabled, with an interval above 0: what is committed is what has been answered for")
	case !marking.After || marking.OnError || !marking.OnPermanentError:
		return errors.New("message_marking must be after: true, on_error: false, on_permanent_error: true: nothing else loses no record")
	case !c.ErrorBackOff.Enabled || c.ErrorBackOff.InitialInterval <= 0 || c.ErrorBackOff.MaxElapsedTime != 0:
		return errors.New("error_backoff must be enabled with an initial_interval, and max_elapsed_time 0: a record is tried without end")
	}
	return nil
}

const longestWait = 10 * time.Second

var kind = component.MustNewType("kafkarecords")

// NewFactory makes the factory that the collector is built with.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(kind, defaultConfig,
		receiver.WithLogs(newLogs, component.StabilityLevelStable),
		receiver.WithTraces(newTraces, component.StabilityLevelStable))
}

func newLogs(_ context.Context, set receiver.Settings, config component.Config, next consumer.Logs) (receiver.Logs, error) {
	c := config.(*Config)
	r, err := newReader(set, c, c.Logs.Topics)
	if err != nil {
		return nil, err
	}
	r.hand = r.handLogs(next)
	return r, nil
}

func newTraces(_ context.Context, set receiver.Settings, config component.Config, next consumer.Traces) (receiver.Traces, error) {
	c := config.(*Config)
	r, err := newReader(set, c, c.Traces.Topics)
	if err != nil {
		return nil, err
	}
	r.hand = r.handTraces(next)
	return r, nil
}

// patterns tells whether a topic is meant as a regular expression, which this receiver does not read by.
func patterns(topics []string) bool {
	return slices.ContainsFunc(topics, func(topic string) bool { return topic == "" || topic[0] == '^' })
}
