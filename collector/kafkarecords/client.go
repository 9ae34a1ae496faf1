package kafkarecords

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"

	"obs-platform/collector/kafkaclient"
)

// newClient makes a member of the group.
func newClient(ctx context.Context, c *Config, logger *zap.Logger, topics []string, further ...kgo.Opt) (*kgo.Client, error) {
	options, err := kafkaclient.Options(ctx, kafkaclient.Settings{
		Brokers: c.Brokers, ClientID: c.ClientID, TLS: c.TLS,
		Username: c.Auth.SASL.Username, Password: c.Auth.SASL.Password, MetadataRefresh: c.Metadata.RefreshInterval,
	})
	if err != nil {
		return nil, err
	}
	options = append(options,
		kgo.ConsumeTopics(topics...),
		kgo.ConsumerGroup(c.GroupID),
		c.balancers(),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.HeartbeatInterval),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMinBytes(c.MinFetchSize),
		kgo.FetchMaxWait(c.MaxFetchWait),
		kgo.FetchMaxBytes(c.MaxFetchSize),
		kgo.FetchMaxPartitionBytes(c.MaxPartitionFetchSize),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(c.AutoCommit.Interval),
		kgo.WithLogger(kzap.New(logger.Named("franz"))),
	)
	if c.GroupInstanceID != "" {
		options = append(options, kgo.InstanceID(c.GroupInstanceID))
	}
	return kgo.NewClient(append(options, further...)...)
}
