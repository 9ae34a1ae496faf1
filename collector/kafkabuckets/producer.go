package kafkabuckets

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"obs-platform/collector/kafkaclient"
)

// errNoAnswer is the result of a record whose acknowledgement did not come in time; it may be in the topic.
var errNoAnswer = errors.New("kafka did not acknowledge in time")

// newClient connects to Kafka: all replicas in sync acknowledge, writes are idempotent, Snappy, a bucket's own partition.
func newClient(ctx context.Context, c *Config, further ...kgo.Opt) (*kgo.Client, error) {
	options, err := kafkaclient.Options(ctx, kafkaclient.Settings{
		Brokers: c.Brokers, ClientID: c.ClientID, TLS: c.TLS,
		Username: c.Auth.Username, Password: c.Auth.Password, MetadataRefresh: c.MetadataRefresh,
	})
	if err != nil {
		return nil, err
	}
	options = append(options,
		kgo.DefaultProduceTopic(c.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerBatchMaxBytes(int32(c.MaxMessageBytes)),
		kgo.ProducerLinger(c.Linger),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(record *kgo.Record, partitions int) int { return int(record.Partition) % partitions }
		})),
		kgo.ProduceRequestTimeout(acknowledged),
		kgo.RecordDeliveryTimeout(c.deliveryTimeout()),
		kgo.UnknownTopicRetries(-1),
		kgo.MaxBufferedBytes(mostBuffered),
	)
	return kgo.NewClient(append(options, further...)...)
}

// acknowledged is how long a broker may wait for the other replicas. Until it has answered, or its connection is given up,
// no other broker gets a record of the partition: they would not be in order.
var acknowledged = 5 * time.Second

const mostBuffered = 128 << 20

func (c *Config) deliveryTimeout() time.Duration {
	longest := c.TimeoutConfig.Timeout
	if c.Spill.HasValue() {
		longest = max(longest, c.Spill.Get().Timeout)
	}
	return max(longest, time.Second)
}

// produce writes one record per value and waits for all, at most until the context ends. The results are in order.
func produce(ctx context.Context, client *kgo.Client, topic string, indexes []int, values [][]byte) []error {
	results := make([]error, len(values))
	var mutex sync.Mutex
	left := len(values)
	done := make(chan struct{})
	for at, value := range values {
		results[at] = errNoAnswer
		if value == nil {
			left--
			continue
		}
	}
	if left == 0 {
		return results
	}
	over := false
	for at, value := range values {
		if value == nil {
			continue
		}
		// Records outlive the request: what was sent is not taken back, for that would break the order of the producer.
		record := &kgo.Record{Topic: topic, Partition: int32(indexes[at]), Key: strconv.AppendInt(nil, int64(indexes[at]), 10), Value: value}
		client.TryProduce(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) {
			mutex.Lock()
			defer mutex.Unlock()
			if over {
				return
			}
			results[at] = err
			if left--; left == 0 {
				close(done)
			}
		})
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	mutex.Lock()
	defer mutex.Unlock()
	over = true
	return results
}

// permanent tells whether Kafka will never take a record, however often it is sent.
func permanent(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord) ||
		errors.Is(err, kerr.UnsupportedForMessageFormat) || errors.Is(err, errTooLarge)
}

var errTooLarge = errors.New("a resource alone is larger than a record may be")
