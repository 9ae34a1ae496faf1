package kafkarecords

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
)

// A broker that hangs, as with a machine that lost its power, refuses nothing: only time tells. The client does one thing
// after the other with a broker until a connection stands, so that these add up: for a fetch, for the group, and for asking
// who leads instead.
var (
	// dialLimit bounds making a connection, with its TLS handshake.
	dialLimit = 3 * time.Second
	// answerLimit bounds the wait for an answer, beyond what the request itself allows.
	answerLimit = 5 * time.Second
)

const commitLimit = 10 * time.Second

// newClient makes a member of the group.
func newClient(ctx context.Context, c *Config, logger *zap.Logger, topics []string, further ...kgo.Opt) (*kgo.Client, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumerGroup(c.GroupID),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.HeartbeatInterval),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMinBytes(c.MinFetchSize),
		kgo.FetchMaxWait(c.MaxFetchWait),
		kgo.FetchMaxBytes(c.MaxFetchSize),
		kgo.FetchMaxPartitionBytes(c.MaxPartitionFetchSize),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(c.AutoCommit.Interval),
		kgo.MetadataMaxAge(c.Metadata.RefreshInterval),
		kgo.MetadataMinAge(250 * time.Millisecond),

		kgo.DialTimeout(dialLimit),
		kgo.RequestTimeoutOverhead(answerLimit),
		kgo.DisableClientMetrics(),
		kgo.WithLogger(kzap.New(logger.Named("franz"))),
	}
	if c.GroupInstanceID != "" {
		options = append(options, kgo.InstanceID(c.GroupInstanceID))
	}
	if c.Auth.SASL.Username != "" {
		options = append(options, kgo.SASL(scram.Auth{User: c.Auth.SASL.Username, Pass: string(c.Auth.SASL.Password)}.AsSha512Mechanism()))
	}
	tls, err := c.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if tls != nil {
		options = append(options, kgo.DialTLSConfig(tls))
	}
	return kgo.NewClient(append(options, further...)...)
}
