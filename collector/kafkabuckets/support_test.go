package kafkabuckets

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

const (
	topic      = "telemetry-metrics"
	partitions = 12
)

// kafka is a cluster of three brokers with one topic.
func kafka(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(partitions, topic)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

func configFor(cluster *kfake.Cluster) *Config {
	config := defaultConfig().(*Config)
	config.Brokers, config.Topic, config.ClientID, config.Buckets = cluster.ListenAddrs(), topic, "gateway", partitions
	config.TLS.Insecure = true
	config.TimeoutConfig.Timeout = 2 * time.Second
	config.Queue = optionalNone()
	config.Retry.Enabled = false
	return config
}

func settings(telemetry *componenttest.Telemetry) exporter.Settings {
	set := exportertest.NewNopSettings(kind)
	set.ID = component.NewIDWithName(kind, "metrics")
	if telemetry != nil {
		set.TelemetrySettings = telemetry.NewTelemetrySettings()
	}
	return set
}

type host struct {
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// started is an exporter of metrics that runs until the test ends.
func started(t testing.TB, config *Config, set exporter.Settings, on component.Host) exporter.Metrics {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	made, err := newMetrics(context.Background(), set, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), on); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return made
}

// devices is a request of some points of each of some devices; every point has a number of its own.
func devices(count, points, first int) pmetric.Metrics {
	data := pmetric.NewMetrics()
	for device := range count {
		resource := data.ResourceMetrics().AppendEmpty()
		resource.Resource().Attributes().PutStr("device_id", fmt.Sprintf("dev-%04d", device))
		resource.Resource().Attributes().PutStr("service.name", "device-agent")
		m := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("device.connected")
		gauge := m.SetEmptyGauge()
		for point := range points {
			gauge.DataPoints().AppendEmpty().SetIntValue(int64(first + device*points + point))
		}
	}
	return data
}

// records reads what is in the topic: all that stands before the offsets at its end.
func records(t testing.TB, config *Config) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(config.Brokers...), kgo.ConsumeTopics(config.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	missing := written(ctx, t, client, config.Topic)
	for missing > 0 {
		fetched := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d records of the topic were not read: %v", missing, err)
		}
		all = append(all, fetched.Records()...)
		missing -= int64(fetched.NumRecords())
	}
	return all
}

// written is how many records the topic holds.
func written(ctx context.Context, t testing.TB, client *kgo.Client, topic string) (count int64) {
	t.Helper()
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = topic
	for partition := range int32(partitions) {
		end := kmsg.NewListOffsetsRequestTopicPartition()
		end.Partition, end.Timestamp = partition, -1
		wanted.Partitions = append(wanted.Partitions, end)
	}
	request.Topics = append(request.Topics, wanted)
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, answered := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, partition := range answered.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					t.Fatal(err)
				}
				count += partition.Offset
			}
		}
	}
	return count
}

// numbers are the numbers of all points in records, with how often each stands there.
func numbers(t testing.TB, all []*kgo.Record) map[int64]int {
	t.Helper()
	found := map[int64]int{}
	for _, record := range all {
		data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(record.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range data.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, m := range scope.Metrics().All() {
					for _, point := range m.Gauge().DataPoints().All() {
						found[point.IntValue()]++
					}
				}
			}
		}
	}
	return found
}

// disk is a storage in memory that outlives the exporters that use it.
type disk struct {
	component.StartFunc
	component.ShutdownFunc
	mutex  sync.Mutex
	values map[string][]byte
	full   bool
}

type diskClient struct {
	*disk
	prefix string
}

func (d *disk) GetClient(_ context.Context, _ component.Kind, id component.ID, name string) (storage.Client, error) {
	return diskClient{d, id.String() + "/" + name + "/"}, nil
}

func (c diskClient) Get(_ context.Context, key string) ([]byte, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.values[c.prefix+key], nil
}

func (c diskClient) Set(_ context.Context, key string, value []byte) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.values[c.prefix+key] = value
	return nil
}

func (c diskClient) Delete(_ context.Context, key string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.values, c.prefix+key)
	return nil
}

func (c diskClient) Batch(_ context.Context, operations ...*storage.Operation) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, each := range operations {
		switch each.Type {
		case storage.Get:
			each.Value = c.values[c.prefix+each.Key]
		case storage.Set:
			if c.full {
				return fmt.Errorf("no space left on device")
			}
			c.values[c.prefix+each.Key] = each.Value
		case storage.Delete:
			delete(c.values, c.prefix+each.Key)
		}
	}
	return nil
}

func (diskClient) Close(context.Context) error { return nil }

// total is what a counter has counted, over all its labels.
func total(t testing.TB, telemetry *componenttest.Telemetry, name string) (sum int64) {
	t.Helper()
	counted, err := telemetry.GetMetric(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range counted.Data.(metricdata.Sum[int64]).DataPoints {
		sum += point.Value
	}
	return sum
}
