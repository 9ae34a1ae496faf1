package kafkarecords

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"obs-platform/collector/kafkaclient"
	"obs-platform/collector/kafkaclient/kafkatest"
)

func TestRecordsAreHandedOverAsTheyAreAndARestartGoesOn(t *testing.T) {
	cluster := kafka(t)
	config := configFor(cluster)
	write(t, cluster, 0, 200)
	first := &sink{}
	reader := started(t, config, first)
	eventually(t, func() bool { return first.distinct() == 200 }, "200 records are read")
	shut(t, reader)
	write(t, cluster, 200, 50)
	second := &sink{}
	reader = started(t, config, second)
	eventually(t, func() bool { return second.distinct() == 50 }, "the 50 records of meanwhile are read")
	shut(t, reader)
	if total := second.count(); total != 50 {
		t.Errorf("%d records were read after the restart, want the 50 of meanwhile: places were not committed", total)
	}
}

func TestARecordIsTriedUntilItIsTakenAndNoneAfterItGoesFirst(t *testing.T) {
	cluster := kafka(t)
	target := &sink{refuse: func(value string, tried int) error {
		if value == "3" && tried < 4 {
			return errors.New("not now")
		}
		return nil
	}}
	write(t, cluster, 0, partitions*10)
	reader := started(t, configFor(cluster), target)
	eventually(t, func() bool { return target.distinct() == partitions*10 }, "all records are read")
	shut(t, reader)
	if tried := target.tried("3"); tried != 4 {
		t.Errorf("the record was tried %d times, want 4", tried)
	}
	for _, values := range target.perPartition() {
		for at := 1; at < len(values); at++ {
			if values[at] <= values[at-1] {
				t.Errorf("a partition's records came as %v", values)
				break
			}
		}
	}
}

func TestWhatIsNotAnsweredForComesAgainAndWhatNeverWillIsPassedOver(t *testing.T) {
	cluster := kafka(t)
	config := configFor(cluster)
	write(t, cluster, 0, 40)
	stubborn := &sink{refuse: func(value string, _ int) error {
		switch value {
		case "7":
			return consumererror.NewPermanent(errors.New("no request of OTLP"))
		case "13":
			return errors.New("never now")
		}
		return nil
	}}
	reader := started(t, config, stubborn)
	eventually(t, func() bool { return stubborn.tried("13") > 2 }, "the second one of the partition is tried")
	shut(t, reader)
	later := &sink{}
	again := started(t, config, later)
	eventually(t, func() bool { return later.tried("13") == 1 }, "13 comes again")
	eventually(t, func() bool { return stubborn.union(later) == 39 }, "everything is read but what will never be taken")
	shut(t, again)
	if later.tried("7") != 0 {
		t.Error("7 came again: it was not passed over")
	}
}

func TestMembersComeAndGoAndNoRecordIsMissing(t *testing.T) {
	cluster := kafka(t)
	one, two := configFor(cluster), configFor(cluster)
	one.GroupInstanceID, two.GroupInstanceID = "", ""
	target := &sink{refuse: func(string, int) error { time.Sleep(time.Millisecond); return nil }}
	writing, stop := context.WithCancel(context.Background())
	done := make(chan int)
	go func() {
		count := 0
		for ; writing.Err() == nil; count += 50 {
			write(t, cluster, count, 50)
			time.Sleep(20 * time.Millisecond)
		}
		done <- count
	}()
	first := started(t, one, target)
	eventually(t, func() bool { return target.distinct() > 200 }, "the first member reads")
	second := started(t, two, target)
	before := target.distinct()
	eventually(t, func() bool { return second.share() > 0 && target.distinct() > before+200 }, "the second member has its part")
	shut(t, first)
	before = target.distinct()
	eventually(t, func() bool { return second.share() == partitions && target.distinct() > before+200 }, "the second member has all")
	stop()
	count := <-done
	eventually(t, func() bool { return target.distinct() == count }, "every record is read")
	shut(t, second)
}

func TestAPartitionThatWasLostAndComesBackGoesOn(t *testing.T) {
	cluster := kafka(t)
	config := configFor(cluster)
	config.HeartbeatInterval = 200 * time.Millisecond
	var taken atomic.Bool
	target := &sink{refuse: func(value string, _ int) error {
		if value == "5" && !taken.Load() {
			return errors.New("not now")
		}
		return nil
	}}
	write(t, cluster, 0, 60)
	reader := started(t, config, target)
	eventually(t, func() bool { return target.tried("5") > 1 }, "a record is being tried")
	before := reader.assigned("5")
	cluster.ControlKey(int16(kmsg.Heartbeat), func(request kmsg.Request) (kmsg.Response, error, bool) {
		answer := request.ResponseKind().(*kmsg.HeartbeatResponse)
		answer.ErrorCode = kerr.UnknownMemberID.Code
		return answer, nil, true
	})
	eventually(t, func() bool { return before.ctx.Err() != nil }, "the partitions are lost")
	taken.Store(true)
	eventually(t, func() bool { return target.distinct() == 60 }, "every record is read")
	write(t, cluster, 60, 60)
	eventually(t, func() bool { return target.distinct() == 120 }, "later records are read")
	shut(t, reader)
}

func TestSpansAreDecodedAndWhatIsNoRequestIsPassedOver(t *testing.T) {
	cluster := kafka(t)
	traces := ptrace.NewTraces()
	traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("checked")
	value, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, cluster, &kgo.Record{Partition: 0, Value: []byte("\xff no request")}, &kgo.Record{Partition: 0, Value: value})
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { _ = telemetry.Shutdown(context.Background()) })
	spans := &spanSink{}
	reader := startedTraces(t, configFor(cluster), spans, telemetry)
	eventually(t, func() bool { return spans.count() == 1 }, "the span is read")
	shut(t, reader)
	if accepted := total(t, telemetry, "otelcol_receiver_accepted_spans"); accepted != 1 {
		t.Errorf("%d spans counted, want 1", accepted)
	}
}

// A machine that lost its power closes no connection. The leader moves, and the client must hear of it soon, whomever it
// asks: of three brokers two hang.
func TestABrokerThatHangsIsGivenUpAndItsPartitionReadFromTheNextLeader(t *testing.T) {
	kafkatest.Shorten(t, 300*time.Millisecond, 500*time.Millisecond)
	lines := &kafkatest.Lines{}
	cluster := hanging(t, lines)
	config := configFor(cluster)
	config.TLS = clientTLS()
	target := &sink{}
	lead := func(by func(number int32) int32) {
		for number := range int32(partitions) {
			if err := cluster.MoveTopicPartition(topic, number, by(number)); err != nil {
				t.Fatal(err)
			}
		}
	}
	lead(func(number int32) int32 { return number % 2 })
	write(t, cluster, 0, 60)
	reader := started(t, config, target)
	if limit := reader.client.OptValue(kgo.DialTimeout); limit != kafkaclient.DialLimit {
		t.Errorf("a connection may take %v, want %s", limit, kafkaclient.DialLimit)
	}
	eventually(t, func() bool { return target.distinct() == 60 }, "records are read from the first leaders")
	for broker := range 2 {
		lines.Freeze(broker)
	}
	lead(func(int32) int32 { return 2 })
	write(t, cluster, 60, 60)
	began := time.Now()
	eventually(t, func() bool { return target.distinct() == 120 }, "records are read from the next leader")
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("it took %s, want less than the 10 s of one attempt to connect without a limit of our own", took)
	}
	for broker := range 2 {
		lines.Thaw(broker)
	}
	shut(t, reader)
}

func TestMistakesAreNamed(t *testing.T) {
	for want, wrong := range map[string]func(*Config){
		"brokers must name at least one address": func(c *Config) { c.Brokers = nil },
		"group_id must be set":                   func(c *Config) { c.GroupID = "" },
		"logs.topics or traces.topics must":      func(c *Config) { c.Logs.Topics, c.Traces.Topics = nil, nil },
		`logs.encoding is "text", must be raw`:   func(c *Config) { c.Logs.Encoding = "text" },
		"traces.encoding is":                     func(c *Config) { c.Traces.Encoding = "jaeger" },
		"auth.sasl needs both":                   func(c *Config) { c.Auth.SASL.Username = "somebody" },
		`auth.sasl.mechanism is "PLAIN"`:         func(c *Config) { c.Auth.SASL = SASLConfig{Mechanism: "PLAIN", Username: "a", Password: "b"} },
		"group_rebalance_strategy is":            func(c *Config) { c.GroupRebalanceStrategy = "range" },
		"initial_offset is":                      func(c *Config) { c.InitialOffset = "latest" },
		"metadata.refresh_interval is 1ms":       func(c *Config) { c.Metadata.RefreshInterval = time.Millisecond },
		"session_timeout must be longer":         func(c *Config) { c.SessionTimeout = c.HeartbeatInterval },
		"max_fetch_size at least":                func(c *Config) { c.MaxFetchSize = c.MaxPartitionFetchSize - 1 },
		"max_fetch_wait is 1m0s":                 func(c *Config) { c.MaxFetchWait = time.Minute },
		"autocommit must be enabled":             func(c *Config) { c.AutoCommit.Enable = false },
		"message_marking must be":                func(c *Config) { c.MessageMarking.OnError = true },
		"error_backoff must be enabled":          func(c *Config) { c.ErrorBackOff.MaxElapsedTime = time.Minute },
	} {
		config := configFor(kafka(t))
		wrong(config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	set := settings(nil)
	config := configFor(kafka(t))
	config.Logs.Topics = []string{"^telemetry-.*"}
	if _, err := newLogs(context.Background(), set, config, &sink{}); err == nil || !strings.Contains(err.Error(), "must be names") {
		t.Errorf("got %v for a pattern", err)
	}
}
