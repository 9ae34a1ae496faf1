package kafkarecords

import (
	"context"
	"crypto/tls"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"obs-platform/collector/kafkaclient/kafkatest"
)

const (
	topic      = "telemetry-metrics"
	partitions = 6
	patience   = 40 * time.Second
)

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
	config.Brokers, config.ClientID, config.GroupID, config.GroupInstanceID = cluster.ListenAddrs(), "reader", "reader", "reader-0"
	config.Logs.Topics, config.Traces.Topics = []string{topic}, []string{topic}
	config.TLS.Insecure = true
	config.MaxFetchWait = 100 * time.Millisecond
	config.AutoCommit.Interval = 100 * time.Millisecond
	config.ErrorBackOff.InitialInterval, config.ErrorBackOff.MaxInterval = 5*time.Millisecond, 50*time.Millisecond
	return config
}

func settings(telemetry *componenttest.Telemetry) receiver.Settings {
	set := receivertest.NewNopSettings(kind)
	if telemetry != nil {
		set.TelemetrySettings = telemetry.NewTelemetrySettings()
	}
	return set
}

func started(t testing.TB, config *Config, next consumer.Logs) *reader {
	t.Helper()
	made, err := newLogs(context.Background(), settings(nil), config, next)
	return running(t, config, made, err)
}

func startedTraces(t testing.TB, config *Config, next consumer.Traces, telemetry *componenttest.Telemetry) *reader {
	t.Helper()
	made, err := newTraces(context.Background(), settings(telemetry), config, next)
	return running(t, config, made, err)
}

func running(t testing.TB, config *Config, made component.Component, err error) *reader {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return made.(*reader)
}

func shut(t testing.TB, r *reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// share is how many partitions are the member's.
func (r *reader) share() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.mine)
}

// assigned is how the member has the partition of a value.
func (r *reader) assigned(value string) *assignment {
	number, _ := strconv.Atoi(value)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.mine[partition{topic, int32(number % partitions)}]
}

// write puts numbers into the topic, each into the partition that it belongs to.
func write(t testing.TB, cluster *kfake.Cluster, first, count int) {
	t.Helper()
	var records []*kgo.Record
	for number := first; number < first+count; number++ {
		records = append(records, &kgo.Record{Partition: int32(number % partitions), Value: []byte(strconv.Itoa(number))})
	}
	produce(t, cluster, records...)
}

// produce writes records to where they are meant for, also while all brokers but the last one hang.
func produce(t testing.TB, cluster *kfake.Cluster, records ...*kgo.Record) {
	t.Helper()
	addresses := cluster.ListenAddrs()
	options := []kgo.Opt{
		kgo.SeedBrokers(addresses[len(addresses)-1]), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DialTimeout(300 * time.Millisecond), kgo.RequestTimeoutOverhead(500 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond),
	}
	if secured.Load() {
		options = append(options, kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Error(err)
	}
}

func eventually(t testing.TB, holds func() bool, what string) {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("in vain: %s", what)
}

// sink takes records, except those that it is told to refuse.
type sink struct {
	refuse func(value string, tried int) error
	mutex  sync.Mutex
	tries  map[string]int
	taken  []string
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	value := string(logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Bytes().AsRaw())
	s.mutex.Lock()
	if s.tries == nil {
		s.tries = map[string]int{}
	}
	s.tries[value]++
	tried := s.tries[value]
	s.mutex.Unlock()
	if s.refuse != nil {
		if err := s.refuse(value, tried); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.taken = append(s.taken, value)
	return nil
}

func (s *sink) values() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]string(nil), s.taken...)
}

func (s *sink) count() int { return len(s.values()) }

func (s *sink) distinct() int { return s.union(&sink{}) }

func (s *sink) union(other *sink) int {
	all := map[string]bool{}
	for _, value := range append(s.values(), other.values()...) {
		all[value] = true
	}
	return len(all)
}

func (s *sink) tried(value string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.tries[value]
}

// perPartition are the numbers as they were taken, by partition.
func (s *sink) perPartition() map[int][]int {
	parts := map[int][]int{}
	for _, value := range s.values() {
		number, _ := strconv.Atoi(value)
		parts[number%partitions] = append(parts[number%partitions], number)
	}
	return parts
}

// spanSink counts spans.
type spanSink struct {
	mutex sync.Mutex
	spans int
}

func (s *spanSink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *spanSink) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.spans += traces.SpanCount()
	return nil
}

func (s *spanSink) count() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.spans
}

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

// hanging is a cluster with TLS whose brokers can stand still.
func hanging(t testing.TB, lines *kafkatest.Lines) *kfake.Cluster {
	t.Helper()
	secured.Store(true)
	t.Cleanup(func() { secured.Store(false) })
	return kafka(t, kfake.TLS(kafkatest.ServerTLS(t)), kfake.ListenFn(lines.Listen))
}

var secured atomic.Bool

func clientTLS() configtls.ClientConfig { return configtls.ClientConfig{InsecureSkipVerify: true} }
