package kafkarecords

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func shardOf(cluster *kfake.Cluster, index, count int32) *Config {
	config := configFor(cluster)
	config.GroupRebalanceStrategy, config.Shard = sharded, ShardConfig{Index: index, Count: count}
	config.GroupInstanceID = "shard-" + string('0'+index)
	config.HeartbeatInterval = 100 * time.Millisecond
	return config
}

// parts are the partitions of a member, in their order.
func (r *reader) parts() []int32 {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var numbers []int32
	for key := range r.mine {
		numbers = append(numbers, key.number)
	}
	slices.Sort(numbers)
	return numbers
}

func reads(t *testing.T, r *reader, wanted ...int32) {
	t.Helper()
	eventually(t, func() bool { return slices.Equal(r.parts(), wanted) }, "partitions are divided by shards")
}

func TestEachShardReadsItsOwnPartitionsWhoeverComesFirst(t *testing.T) {
	cluster := kafka(t)
	second := started(t, shardOf(cluster, 1, 2), &sink{})
	reads(t, second, 1, 3, 5)
	first := started(t, shardOf(cluster, 0, 2), &sink{})
	reads(t, first, 0, 2, 4)
	reads(t, second, 1, 3, 5)
	shut(t, second)
	reads(t, first, 0, 2, 4)
	shut(t, first)
}

func TestShardsAreAddedAndTakenAwayAndEveryRecordIsReadOnce(t *testing.T) {
	cluster := kafka(t)
	before, after := &sink{}, &sink{}
	write(t, cluster, 0, 120)
	first := started(t, shardOf(cluster, 0, 1), before)
	eventually(t, func() bool { return before.distinct() == 120 }, "one shard reads all")
	added := started(t, shardOf(cluster, 1, 2), after)
	write(t, cluster, 120, 120)
	eventually(t, func() bool { return before.distinct() == 240 }, "a shard that the first one does not know of waits")
	shut(t, first)
	write(t, cluster, 240, 120)
	first = started(t, shardOf(cluster, 0, 2), before)
	reads(t, first, 0, 2, 4)
	reads(t, added, 1, 3, 5)
	eventually(t, func() bool { return before.union(after) == 360 }, "two shards read all")
	for _, value := range after.values() {
		if number := value[len(value)-1]; (number-'0')%2 == 0 {
			t.Errorf("the second shard read %s, which is of an even partition", value)
		}
	}
	shut(t, first)
	first = started(t, shardOf(cluster, 0, 1), before)
	reads(t, first, 0, 1, 2, 3, 4, 5)
	reads(t, added)
	write(t, cluster, 360, 120)
	eventually(t, func() bool { return before.union(after) == 480 }, "the one that is left reads all")
	if total := before.count() + after.count(); total != 480 {
		t.Errorf("%d records were read, want each of 480 once", total)
	}
	shut(t, added)
	shut(t, first)
}

func TestAShardWithoutAMemberKeepsItsPartitions(t *testing.T) {
	cluster := kafka(t)
	target := &sink{}
	write(t, cluster, 0, 60)
	first := started(t, shardOf(cluster, 0, 3), target)
	reads(t, first, 0, 3)
	eventually(t, func() bool { return target.count() == 20 }, "the first shard reads its part")
	second, third := started(t, shardOf(cluster, 1, 3), target), started(t, shardOf(cluster, 2, 3), target)
	eventually(t, func() bool { return target.distinct() == 60 }, "the others read theirs")
	reads(t, first, 0, 3)
	reads(t, second, 1, 4)
	reads(t, third, 2, 5)
	for _, reader := range []*reader{first, second, third} {
		shut(t, reader)
	}
}

func TestAMemberThatSaysNoShardFailsTheDivision(t *testing.T) {
	for _, data := range []string{"", "2/2", "-1/2", "0/0", "one"} {
		meta := kmsg.NewConsumerMemberMetadata()
		meta.Version, meta.Topics, meta.UserData = 3, []string{topic}, []byte(data)
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.ProtocolMetadata = "stranger", meta.AppendTo(nil)
		consumers, err := kgo.NewConsumerBalancer(balancer{}, []kmsg.JoinGroupResponseMember{member})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := consumers.BalanceOrError(map[string]int32{topic: partitions}); err == nil || !strings.Contains(err.Error(), "stranger") {
			t.Errorf("shard %q: %v, want an error that names the member", data, err)
		}
	}
}

func TestTheShardIsPartOfItsStrategyAlone(t *testing.T) {
	cluster := kafka(t)
	for name, change := range map[string]func(c *Config){
		"group_rebalance_strategy":           func(c *Config) { c.GroupRebalanceStrategy = "range" },
		"shard is 0 of 0":                    func(c *Config) { c.Shard = ShardConfig{} },
		"shard is 2 of 2":                    func(c *Config) { c.Shard.Index = 2 },
		"shard is -1 of 2":                   func(c *Config) { c.Shard.Index = -1 },
		"shard needs group_rebalance_strate": func(c *Config) { c.GroupRebalanceStrategy = cooperativeSticky },
	} {
		config := shardOf(cluster, 1, 2)
		change(config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want an error about %s", err, name)
		}
	}
}

// A static member is in its group until its session ends, also while it is replaced by one of another release.
func TestAMemberOfAnotherStrategyIsReplacedAtOnceAndBack(t *testing.T) {
	cluster := kafka(t)
	target := &sink{}
	before := shardOf(cluster, 0, 1)
	before.GroupRebalanceStrategy, before.Shard = cooperativeSticky, ShardConfig{}
	for step, config := range []*Config{before, shardOf(cluster, 0, 1), before} {
		write(t, cluster, step*60, 60)
		member := started(t, config, target)
		eventually(t, func() bool { return target.distinct() == (step+1)*60 }, "the next member reads on")
		shut(t, member)
	}
	if total := target.count(); total != 180 {
		t.Errorf("%d records were read, want each of 180 once", total)
	}
}
