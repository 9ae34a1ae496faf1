package kafkabuckets

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtls"

	"obs-platform/collector/kafkaclient/kafkatest"
)

// A machine that lost its power closes no connection: what is under way there must not keep the partition from its next
// leader for long.
func TestABrokerThatHangsIsGivenUpAndItsPartitionWrittenAtTheNextLeader(t *testing.T) {
	kafkatest.Shorten(t, 300*time.Millisecond, 500*time.Millisecond)
	before := acknowledged
	acknowledged = time.Second
	t.Cleanup(func() { acknowledged = before })
	lines := &kafkatest.Lines{}
	cluster := kafka(t, kfake.TLS(kafkatest.ServerTLS(t)), kfake.ListenFn(lines.Listen))
	lead := func(by func(number int32) int32) {
		for number := range int32(partitions) {
			if err := cluster.MoveTopicPartition(topic, number, by(number)); err != nil {
				t.Fatal(err)
			}
		}
	}
	lead(func(number int32) int32 { return number % 2 })
	config := configFor(cluster)
	config.TLS = configtls.ClientConfig{InsecureSkipVerify: true}
	e := started(t, config, settings(nil), componenttest.NewNopHost())
	if err := e.ConsumeMetrics(context.Background(), devices(60, 1, 0)); err != nil {
		t.Fatal(err)
	}
	lines.Freeze(0)
	lines.Freeze(1)
	began := time.Now()
	if err := e.ConsumeMetrics(context.Background(), devices(60, 1, 60)); err == nil {
		t.Error("what a broker did not acknowledge was taken for written")
	}
	lead(func(int32) int32 { return 2 })
	for {
		err := e.ConsumeMetrics(context.Background(), devices(60, 1, 60))
		if took := time.Since(began); err == nil || took > 40*time.Second {
			if took > 14*time.Second {
				t.Errorf("the next leader was written to after %s (%v), want less than a client without limits of its own needs, 15 s and more", took, err)
			}
			break
		}
	}
	lines.Thaw(0)
	lines.Thaw(1)
}
