package kafkarecords

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// sharded gives partition p to the member of shard p mod count, in whatever order members come: so two groups that are
// divided alike give the same shard the same partitions.
const sharded = "sharded"

// ShardConfig is the part of every topic that a member reads.
type ShardConfig struct {
	Index int32 `mapstructure:"index"`
	// Count is how many shards there are. What the member of shard 0 says counts for the group: a member of a shard that
	// it does not know of yet waits, and one of a shard that it knows no more ends without a partition.
	Count int32 `mapstructure:"count"`
}

func (s ShardConfig) validate() error {
	if s.Count < 1 || s.Index < 0 || s.Index >= s.Count {
		return fmt.Errorf("shard is %d of %d: count must be 1 or more, index between 0 and the one before it", s.Index, s.Count)
	}
	return nil
}

// balancer spreads partitions over shards, cooperatively: a partition that stays is read on meanwhile.
type balancer struct{ shard ShardConfig }

func (balancer) ProtocolName() string { return sharded }

func (balancer) IsCooperative() bool { return true }

func (b balancer) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3
	meta.Topics, meta.Generation = topics, generation
	for topic, partitions := range current {
		owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
		owned.Topic, owned.Partitions = topic, partitions
		meta.OwnedPartitions = append(meta.OwnedPartitions, owned)
	}
	slices.SortFunc(meta.OwnedPartitions, func(one, other kmsg.ConsumerMemberMetadataOwnedPartition) int {
		return cmp.Compare(one.Topic, other.Topic)
	})
	meta.UserData = fmt.Appendf(nil, "%d/%d", b.shard.Index, b.shard.Count)
	return meta.AppendTo(nil)
}

func (balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	consumers, err := kgo.NewConsumerBalancer(b, members)
	return consumers, consumers.MemberTopics(), err
}

func (balancer) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	owners, count, err := shardsOf(b)
	if err != nil {
		b.SetError(err)
		return nil
	}
	plan := b.NewPlan()
	for topic, partitions := range topics {
		for partition := range partitions {
			// A shard without a member leaves its partitions unread until one comes.
			if owner := owners[partition%count]; owner != nil {
				plan.AddPartition(owner, topic, partition)
			}
		}
	}
	plan.AdjustCooperative(b)
	return plan
}

// shardsOf is the member of each shard, and how many shards there are.
func shardsOf(b *kgo.ConsumerBalancer) (owners map[int32]*kmsg.JoinGroupResponseMember, count int32, err error) {
	owners = map[int32]*kmsg.JoinGroupResponseMember{}
	said := map[int32]int32{}
	b.EachMember(func(member *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		var shard ShardConfig
		_, scanned := fmt.Sscanf(string(meta.UserData), "%d/%d", &shard.Index, &shard.Count)
		if problem := cmp.Or(scanned, shard.validate()); problem != nil {
			err = fmt.Errorf("member %s says that it is shard %q: %w", member.MemberID, meta.UserData, problem)
			return
		}
		owners[shard.Index], said[shard.Index] = member, shard.Count
		count = max(count, shard.Count)
	})
	if first, ok := said[0]; ok {
		count = first
	}
	return owners, count, err
}

// balancers are the strategies that the member takes part in, the one it wants first. Of a group whose members have none in
// common Kafka lets nobody in, and a static member of before is in it for as long as its session.
func (c *Config) balancers() kgo.Opt {
	if c.GroupRebalanceStrategy == sharded {
		return kgo.Balancers(balancer{shard: c.Shard}, kgo.CooperativeStickyBalancer())
	}
	return kgo.Balancers(kgo.CooperativeStickyBalancer())
}

// asksForItsPart has the group divided anew where the first member was not given what its settings say. A static member that
// starts again is given what it had, and Kafka does not look at what it says by now; so the one whose word counts must ask.
func (r *reader) asksForItsPart(ctx context.Context, client *kgo.Client) {
	if r.config.GroupRebalanceStrategy != sharded || r.config.Shard.Index != 0 {
		return
	}
	if r.hasItsPart(ctx, client) {
		return
	}
	r.settings.Logger.Info("the group is divided anew: these are not the partitions of this shard", zap.Int32("shards", r.config.Shard.Count))
	client.ForceRebalance()
}

func (r *reader) hasItsPart(ctx context.Context, client *kgo.Client) bool {
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range r.topics {
		wanted := kmsg.NewMetadataRequestTopic()
		wanted.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, wanted)
	}
	ctx, cancel := context.WithTimeout(ctx, commitLimit)
	defer cancel()
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return false
	}
	own := 0
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, topic := range answer.Topics {
		for number := range int32(len(topic.Partitions)) {
			if number%r.config.Shard.Count != r.config.Shard.Index || topic.Topic == nil {
				continue
			}
			if own++; r.mine[partition{*topic.Topic, number}] == nil {
				return false
			}
		}
	}
	return own == len(r.mine)
}
