package kafkabuckets

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func optionalNone() configoptional.Optional[exporterhelper.QueueBatchConfig] {
	return configoptional.None[exporterhelper.QueueBatchConfig]()
}

func TestABucketIsThePartitionThatKafkasOwnPartitionerFinds(t *testing.T) {
	other := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for index := range 2000 {
		key := []byte(strings.Repeat("k", index%9) + strconv.Itoa(index))
		if got, want := bucketOf(key, partitions), other.Partition(&kgo.Record{Key: key}, partitions); got != want {
			t.Fatalf("%s: bucket %d, want %d", key, got, want)
		}
	}
}

func TestABatchOfManyDevicesFillsOneRecordABucket(t *testing.T) {
	config := configFor(kafka(t))
	e := started(t, config, settings(nil), componenttest.NewNopHost())
	if err := e.ConsumeMetrics(context.Background(), devices(200, 20, 0)); err != nil {
		t.Fatal(err)
	}
	all := records(t, config)
	if len(all) > partitions {
		t.Errorf("%d records, want at most %d", len(all), partitions)
	}
	found := numbers(t, all)
	for number := range int64(4000) {
		if found[number] != 1 {
			t.Fatalf("point %d is there %d times", number, found[number])
		}
	}
	for _, record := range all {
		data, _ := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(record.Value)
		if string(record.Key) != strconv.Itoa(int(record.Partition)) {
			t.Errorf("key %s in partition %d", record.Key, record.Partition)
		}
		for _, resource := range data.ResourceMetrics().All() {
			id, _ := resource.Resource().Attributes().Get("device_id")
			if service, _ := resource.Resource().Attributes().Get("service.name"); service.Str() != "device-agent" {
				t.Error("the resource is not whole")
			}
			if want := bucketOf([]byte(id.Str()), partitions); int(record.Partition) != want {
				t.Errorf("%s is in partition %d, want %d", id.Str(), record.Partition, want)
			}
		}
	}
}

func TestSpansOfATraceShareARecordAndKeepTheirResource(t *testing.T) {
	config := &Config{Buckets: 8, KeyAttributes: []string{"service.name"}}
	data := ptrace.NewTraces()
	for service := range 3 {
		resource := data.ResourceSpans().AppendEmpty()
		resource.Resource().Attributes().PutStr("service.name", fmt.Sprint("s", service))
		resource.SetSchemaUrl("u")
		for scopeIndex := range 2 {
			scope := resource.ScopeSpans().AppendEmpty()
			scope.Scope().SetName(fmt.Sprint("lib", scopeIndex))
			for trace := range 40 {
				span := scope.Spans().AppendEmpty()
				span.SetTraceID([16]byte{byte(trace), 1})
				span.SetName(fmt.Sprintf("%d%d%d", service, scopeIndex, trace))
			}
		}
	}
	seen, names := map[[16]byte]int{}, map[string]bool{}
	for _, each := range splitTraces(config, data) {
		for _, resource := range each.data.ResourceSpans().All() {
			service, _ := resource.Resource().Attributes().Get("service.name")
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					if before, ok := seen[span.TraceID()]; ok && before != each.index {
						t.Fatalf("trace %s is in buckets %d and %d", span.TraceID(), before, each.index)
					}
					seen[span.TraceID()] = each.index
					names[span.Name()] = true
					if !strings.HasPrefix(span.Name(), service.Str()[1:]+scope.Scope().Name()[3:]) || resource.SchemaUrl() != "u" {
						t.Errorf("span %s is of %s, %s", span.Name(), service.Str(), scope.Scope().Name())
					}
				}
			}
		}
	}
	if len(names) != 240 || len(seen) != 40 {
		t.Errorf("%d spans of %d traces, want 240 of 40", len(names), len(seen))
	}
}

func TestABucketThatDoesNotFitIsHalved(t *testing.T) {
	config := configFor(kafka(t))
	config.MaxMessageBytes, config.Buckets = 8<<10, 1
	e := started(t, config, settings(nil), componenttest.NewNopHost())
	if err := e.ConsumeMetrics(context.Background(), devices(100, 20, 0)); err != nil {
		t.Fatal(err)
	}
	all := records(t, config)
	if found := numbers(t, all); len(found) != 2000 || len(all) < 4 {
		t.Errorf("%d points in %d records", len(found), len(all))
	}
}

func TestAResourceThatFitsIntoNoRecordIsLostAndToldWhileTheOthersArrive(t *testing.T) {
	config := configFor(kafka(t))
	config.MaxMessageBytes = 4 << 10
	telemetry := componenttest.NewTelemetry()
	e := started(t, config, settings(telemetry), componenttest.NewNopHost())
	data := devices(20, 5, 0)
	devices(1, 1000, 1000).ResourceMetrics().MoveAndAppendTo(data.ResourceMetrics())
	err := e.ConsumeMetrics(context.Background(), data)
	if !consumererror.IsPermanent(err) || !errors.Is(err, errTooLarge) {
		t.Errorf("error is %v", err)
	}
	if found := numbers(t, records(t, config)); len(found) != 100 {
		t.Errorf("%d points arrived, want 100", len(found))
	}
	if total(t, telemetry, "otelcol_kafkabuckets_lost_items") == 0 {
		t.Error("nothing was counted as lost")
	}
}

func answer(request kmsg.Request, code int16) kmsg.Response {
	produce := request.(*kmsg.ProduceRequest)
	response := produce.ResponseKind().(*kmsg.ProduceResponse)
	for _, each := range produce.Topics {
		topicResponse := kmsg.NewProduceResponseTopic()
		topicResponse.Topic, topicResponse.TopicID = each.Topic, each.TopicID
		for _, partition := range each.Partitions {
			partitionResponse := kmsg.NewProduceResponseTopicPartition()
			partitionResponse.Partition, partitionResponse.ErrorCode = partition.Partition, code
			topicResponse.Partitions = append(topicResponse.Partitions, partitionResponse)
		}
		response.Topics = append(response.Topics, topicResponse)
	}
	return response
}

func TestARefusalForEverIsPermanentAndOneForNowHoldsTheRest(t *testing.T) {
	for name, each := range map[string]struct {
		code      int16
		permanent bool
	}{
		"too large":       {kerr.MessageTooLarge.Code, true},
		"invalid":         {kerr.InvalidRecord.Code, true},
		"not authorised":  {kerr.TopicAuthorizationFailed.Code, false},
		"too few in sync": {kerr.NotEnoughReplicas.Code, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := kafka(t)
			cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return answer(request, each.code), nil, true
			})
			config := configFor(cluster)
			config.TimeoutConfig.Timeout = time.Second
			e := started(t, config, settings(nil), componenttest.NewNopHost())
			err := e.ConsumeMetrics(context.Background(), devices(30, 2, 0))
			if err == nil || consumererror.IsPermanent(err) != each.permanent {
				t.Fatalf("error is %v", err)
			}
			var left consumererror.Metrics
			if !each.permanent && (!errors.As(err, &left) || left.Data().DataPointCount() != 60) {
				t.Errorf("the error does not hold the 60 points: %v", err)
			}
		})
	}
}

func spilling(cluster *kfake.Cluster) (*Config, host, *disk) {
	config := configFor(cluster)
	config.TimeoutConfig.Timeout = 500 * time.Millisecond
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.WaitForResult = true
	config.Queue = configoptional.Some(queue)
	id := component.MustNewID("file_storage")
	behind := exporterhelper.NewDefaultQueueConfig()
	behind.StorageID = &id
	config.Spill = configoptional.Some(SpillConfig{Queue: behind, Timeout: time.Second, ProbeInterval: 200 * time.Millisecond})
	config.Retry.InitialInterval, config.Retry.MaxInterval = 100*time.Millisecond, 200*time.Millisecond
	store := &disk{values: map[string][]byte{}}
	return config, host{map[component.ID]component.Component{id: store}}, store
}

func TestWhileKafkaIsAwayRequestsGoToDiskAndFollowWhenItIsBack(t *testing.T) {
	cluster := kafka(t)
	config, on, _ := spilling(cluster)
	var away atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if away.Load() {
			return answer(request, kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	telemetry := componenttest.NewTelemetry()
	e := started(t, config, settings(telemetry), on)
	sent := 0
	send := func() {
		t.Helper()
		began := time.Now()
		if err := e.ConsumeMetrics(context.Background(), devices(10, 2, sent)); err != nil {
			t.Fatalf("request %d: %v", sent, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("request %d took %s", sent, took)
		}
		sent += 20
	}
	send()
	if found := numbers(t, records(t, config)); len(found) != 20 {
		t.Fatalf("acknowledged and not in Kafka: %d of 20", len(found))
	}
	away.Store(true)
	for range 10 {
		send()
	}
	if total(t, telemetry, "otelcol_kafkabuckets_spilled_items") == 0 {
		t.Error("nothing was counted as spilled")
	}
	away.Store(false)
	deadline := time.Now().Add(60 * time.Second)
	var found map[int64]int
	for time.Now().Before(deadline) {
		send()
		if found = numbers(t, records(t, config)); len(found) == sent {
			break
		}
	}
	if len(found) != sent {
		t.Errorf("%d of %d points arrived", len(found), sent)
	}
}

func TestWithAFullDiskTheClientIsTold(t *testing.T) {
	cluster := kafka(t)
	config, on, store := spilling(cluster)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return answer(request, kerr.NotEnoughReplicas.Code), nil, true
	})
	e := started(t, config, settings(nil), on)
	store.mutex.Lock()
	store.full = true
	store.mutex.Unlock()
	err := e.ConsumeMetrics(context.Background(), devices(1, 1, 0))
	if err == nil || consumererror.IsPermanent(err) {
		t.Errorf("error is %v, want one to try again", err)
	}
	store.mutex.Lock()
	store.full = false
	store.mutex.Unlock()
}

// certificate writes an authority that signs itself for 127.0.0.1, and returns the server's side.
func certificate(t *testing.T) (string, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func TestItSpeaksTLSAndSignsInWithSCRAM(t *testing.T) {
	ca, server := certificate(t)
	cluster := kafka(t, kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "gateway", "right"))
	for password, ok := range map[string]bool{"right": true, "wrong": false} {
		config := configFor(cluster)
		config.TLS.Insecure, config.TLS.CAFile = false, ca
		config.Auth = AuthConfig{Username: "gateway", Password: "wrong"}
		if ok {
			config.Auth.Password = "right"
		}
		e := started(t, config, settings(nil), componenttest.NewNopHost())
		if err := e.ConsumeMetrics(context.Background(), devices(5, 1, 0)); (err == nil) != ok || consumererror.IsPermanent(err) {
			t.Errorf("with the %s password: %v", password, err)
		}
	}
}

func TestAConfigurationThatWouldLoseDataIsRefused(t *testing.T) {
	cluster := kafka(t)
	for name, edit := range map[string]func(*Config){
		"no bucket":         func(c *Config) { c.Buckets = 0 },
		"no topic":          func(c *Config) { c.Topic = "" },
		"half a login":      func(c *Config) { c.Auth.Username = "x" },
		"a spill in memory": func(c *Config) { c.Spill.Get().Queue.StorageID = nil },
		"a queue that acknowledges early": func(c *Config) {
			c.Queue.Get().WaitForResult = false
		},
		"an endless attempt": func(c *Config) { c.TimeoutConfig.Timeout = 0 },
	} {
		config, _, _ := spilling(cluster)
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		edit(config)
		if config.Validate() == nil {
			t.Errorf("%s: no mistake was named", name)
		}
	}
}

func BenchmarkBuckets(b *testing.B) {
	for _, size := range []int{20, 1000} {
		b.Run(fmt.Sprintf("points-of-a-resource-%d", size), func(b *testing.B) {
			config := &Config{Buckets: partitions, KeyAttributes: []string{"device_id", "service.name"}}
			const points = 10_000
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				data := devices(points/size, size, 0)
				b.StartTimer()
				for _, each := range splitMetrics(config, data) {
					if _, err := metricsOperations.marshal(each.data); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/points, "ns/point")
		})
	}
}

// asking is an extension that wants to know what waits on disk.
type asking struct {
	component.StartFunc
	component.ShutdownFunc
	sizes map[string]func() int64
}

func (a *asking) Watch(name string, size func() int64) { a.sizes[name] = size }

func TestAnExtensionIsToldWhatWaitsOnDiskUntilKafkaHasIt(t *testing.T) {
	cluster := kafka(t)
	config, on, _ := spilling(cluster)
	watching := &asking{sizes: map[string]func() int64{}}
	on.extensions[component.MustNewID("drain")] = watching
	var away atomic.Bool
	away.Store(true)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if away.Load() {
			return answer(request, kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	e := started(t, config, settings(componenttest.NewTelemetry()), on)
	size := watching.sizes[topic]
	if size == nil {
		t.Fatal("nobody was told of the queue")
	}
	if size() != 0 {
		t.Errorf("an empty queue has size %d", size())
	}
	if err := e.ConsumeMetrics(context.Background(), devices(10, 2, 0)); err != nil {
		t.Fatal(err)
	}
	if size() == 0 {
		t.Error("what waits on disk is not counted")
	}
	away.Store(false)
	for deadline := time.Now().Add(60 * time.Second); size() != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are left", size())
		}
	}
	if found := numbers(t, records(t, config)); len(found) != 20 {
		t.Errorf("%d of 20 points are in Kafka when nothing is left on disk", len(found))
	}
}
