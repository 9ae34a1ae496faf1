package kafkarecords

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
)

// partition is one partition of one topic.
type partition struct {
	topic  string
	number int32
}

// assignment is a partition for as long as it is this member's.
type assignment struct {
	ctx     context.Context
	end     context.CancelFunc
	working sync.WaitGroup
}

// reader reads topics for a group, and hands each record to the pipeline until that has answered for it.
type reader struct {
	config   *Config
	settings receiver.Settings
	topics   []string
	observed *receiverhelper.ObsReport
	// hand gives a record's value to the pipeline once; a permanent error says that it will never be taken.
	hand func(ctx context.Context, value []byte) error

	client *kgo.Client
	stop   context.CancelFunc
	ended  chan struct{}

	mutex sync.Mutex
	mine  map[partition]*assignment
}

func newReader(set receiver.Settings, c *Config, topics []string) (*reader, error) {
	if len(topics) == 0 || patterns(topics) {
		return nil, fmt.Errorf("topics of the pipeline's signal are %q, must be names", topics)
	}
	observed, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "kafka", ReceiverCreateSettings: set})
	if err != nil {
		return nil, err
	}
	return &reader{config: c, settings: set, topics: topics, observed: observed, ended: make(chan struct{}), mine: map[partition]*assignment{}}, nil
}

// Start joins the group; records come once it has its partitions.
func (r *reader) Start(ctx context.Context, _ component.Host) error {
	var joined sync.Once
	client, err := newClient(ctx, r.config, r.settings.Logger, r.topics,
		kgo.OnPartitionsAssigned(func(ctx context.Context, client *kgo.Client, given map[string][]int32) {
			r.take(given)
			joined.Do(func() { r.asksForItsPart(ctx, client) })
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { r.give(lost) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, revoked map[string][]int32) {
			r.give(revoked)
			r.commit(ctx, client)
		}))
	if err != nil {
		return err
	}
	r.client = client
	running, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.run(running)
	return nil
}

// Shutdown ends what is under way, of which no place is committed, commits the rest and leaves.
func (r *reader) Shutdown(ctx context.Context) error {
	if r.client == nil {
		return nil
	}
	r.stop()
	left := make(chan struct{})
	go func() {
		defer close(left)
		r.giveAll()
		<-r.ended
		r.commit(ctx, r.client)
		r.client.Close()
	}()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kafka did not let the receiver leave in time: %w", ctx.Err())
	}
}

func (r *reader) run(ctx context.Context) {
	defer close(r.ended)
	for {
		fetched := r.client.PollFetches(ctx)
		if ctx.Err() != nil || fetched.IsClientClosed() {
			return
		}
		fetched.EachError(func(topic string, number int32, err error) {
			r.settings.Logger.Error("a fetch failed", zap.String("topic", topic), zap.Int32("partition", number), zap.Error(err))
		})
		var working sync.WaitGroup
		fetched.EachPartition(func(part kgo.FetchTopicPartition) {
			at := r.begin(partition{part.Topic, part.Partition})
			if at == nil {
				return
			}
			working.Go(func() {
				defer at.working.Done()
				r.work(at.ctx, part.Records)
			})
		})
		working.Wait()
	}
}

// work hands records of one partition over in their order, until the partition is lost.
func (r *reader) work(ctx context.Context, records []*kgo.Record) {
	for _, record := range records {
		if !r.answered(ctx, record) {
			return
		}
		r.client.MarkCommitRecords(record)
	}
}

// answered tries a record until the pipeline has taken it or never will; false where its partition was lost before.
func (r *reader) answered(ctx context.Context, record *kgo.Record) bool {
	again := r.config.ErrorBackOff
	waits := &backoff.ExponentialBackOff{
		InitialInterval: again.InitialInterval, RandomizationFactor: again.RandomizationFactor,
		Multiplier: again.Multiplier, MaxInterval: again.MaxInterval,
	}
	waits.Reset()
	where := []zap.Field{zap.String("topic", record.Topic), zap.Int32("partition", record.Partition), zap.Int64("offset", record.Offset)}
	for {
		err := r.hand(ctx, record.Value)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case consumererror.IsPermanent(err):
			r.settings.Logger.Error("a record is passed over: it will never be taken", append(where, zap.Error(err))...)
			return true
		}
		wait := waits.NextBackOff()
		r.settings.Logger.Info("a record is tried again", append(where, zap.Error(err), zap.Duration("after", wait))...)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

func (r *reader) handLogs(next consumer.Logs) func(context.Context, []byte) error {
	return func(ctx context.Context, value []byte) error {
		ctx = r.observed.StartLogsOp(ctx)
		logs := plog.NewLogs()
		logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetEmptyBytes().FromRaw(value)
		err := next.ConsumeLogs(ctx, logs)
		r.observed.EndLogsOp(ctx, raw, 1, err)
		return err
	}
}

func (r *reader) handTraces(next consumer.Traces) func(context.Context, []byte) error {
	decoder := &ptrace.ProtoUnmarshaler{}
	return func(ctx context.Context, value []byte) error {
		ctx = r.observed.StartTracesOp(ctx)
		traces, err := decoder.UnmarshalTraces(value)
		if err != nil {
			err = consumererror.NewPermanent(err)
			r.observed.EndTracesOp(ctx, otlpProto, 0, err)
			return err
		}
		spans := traces.SpanCount()
		err = next.ConsumeTraces(ctx, traces)
		r.observed.EndTracesOp(ctx, otlpProto, spans, err)
		return err
	}
}

// take notes partitions that are this member's from now on.
func (r *reader) take(given map[string][]int32) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for topic, numbers := range given {
		for _, number := range numbers {
			at := &assignment{}
			at.ctx, at.end = context.WithCancel(context.Background())
			r.mine[partition{topic, number}] = at
		}
	}
}

// begin says that records of a partition are worked on; nil where it is no longer this member's.
func (r *reader) begin(key partition) *assignment {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	at := r.mine[key]
	if at != nil {
		at.working.Add(1)
	}
	return at
}

// give ends the work on partitions that are no longer this member's, and waits for its end.
func (r *reader) give(gone map[string][]int32) {
	var ending []*assignment
	r.mutex.Lock()
	for topic, numbers := range gone {
		for _, number := range numbers {
			key := partition{topic, number}
			if at := r.mine[key]; at != nil {
				delete(r.mine, key)
				at.end()
				ending = append(ending, at)
			}
		}
	}
	r.mutex.Unlock()
	for _, at := range ending {
		at.working.Wait()
	}
}

func (r *reader) giveAll() {
	all := map[string][]int32{}
	r.mutex.Lock()
	for key := range r.mine {
		all[key.topic] = append(all[key.topic], key.number)
	}
	r.mutex.Unlock()
	r.give(all)
}

const commitLimit = 10 * time.Second

// commit writes down the places of records that have been answered for.
func (r *reader) commit(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	if err := client.CommitMarkedOffsets(ctx); err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		r.settings.Logger.Warn("places are not committed: some records will come again", zap.Error(err))
	}
}
