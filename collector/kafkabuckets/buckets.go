package kafkabuckets

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// murmur2 is the hash of Kafka's default partitioner: any client finds the partition of a key by it.
func murmur2(key []byte) uint32 {
	const (
		first uint32 = 0x9747b28c
		m     uint32 = 0x5bd1e995
	)
	h := first ^ uint32(len(key))
	rest := key
	for ; len(rest) >= 4; rest = rest[4:] {
		k := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16 | uint32(rest[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for index := len(rest) - 1; index >= 0; index-- {
		h ^= uint32(rest[index]) << (8 * index)
		if index == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

func bucketOf(key []byte, buckets int) int {
	return int(murmur2(key)&0x7fffffff) % buckets
}

// resourceBucket is the bucket of a resource by the first key attribute that it has.
func (c *Config) resourceBucket(resource pcommon.Resource) int {
	for _, key := range c.KeyAttributes {
		if value, ok := resource.Attributes().Get(key); ok {
			if value.Type() == pcommon.ValueTypeStr {
				return bucketOf([]byte(value.Str()), c.Buckets)
			}
			return bucketOf([]byte(value.AsString()), c.Buckets)
		}
	}
	return 0
}

// bucket is what becomes one record.
type bucket[T any] struct {
	index int
	data  T
}

// splitMetrics moves the resources into their buckets; the request is empty afterwards.
func splitMetrics(c *Config, request pmetric.Metrics) []bucket[pmetric.Metrics] {
	made := newBuckets(c.Buckets, pmetric.NewMetrics)
	for _, resource := range request.ResourceMetrics().All() {
		resource.MoveTo(made.of(c.resourceBucket(resource.Resource())).ResourceMetrics().AppendEmpty())
	}
	return made.filled
}

func splitLogs(c *Config, request plog.Logs) []bucket[plog.Logs] {
	made := newBuckets(c.Buckets, plog.NewLogs)
	for _, resource := range request.ResourceLogs().All() {
		resource.MoveTo(made.of(c.resourceBucket(resource.Resource())).ResourceLogs().AppendEmpty())
	}
	return made.filled
}

// splitTraces moves spans into the buckets of their traces; a resource is copied into each bucket that needs it.
func splitTraces(c *Config, request ptrace.Traces) []bucket[ptrace.Traces] {
	made := newBuckets(c.Buckets, ptrace.NewTraces)
	resources := make([]int, c.Buckets) // bucket -> 1 + index of the resource at hand, and of its scope
	scopes := make([]int, c.Buckets)
	for resourceIndex, resource := range request.ResourceSpans().All() {
		if only, ok := oneBucket(c, resource); ok {
			resource.MoveTo(made.of(only).ResourceSpans().AppendEmpty())
			continue
		}
		for scopeIndex, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				id := span.TraceID()
				index := bucketOf(id[:], c.Buckets)
				target := made.of(index)
				if resources[index] != resourceIndex+1 {
					resources[index], scopes[index] = resourceIndex+1, 0
					fresh := target.ResourceSpans().AppendEmpty()
					resource.Resource().CopyTo(fresh.Resource())
					fresh.SetSchemaUrl(resource.SchemaUrl())
				}
				into := target.ResourceSpans().At(target.ResourceSpans().Len() - 1)
				if scopes[index] != scopeIndex+1 {
					scopes[index] = scopeIndex + 1
					fresh := into.ScopeSpans().AppendEmpty()
					scope.Scope().CopyTo(fresh.Scope())
					fresh.SetSchemaUrl(scope.SchemaUrl())
				}
				span.MoveTo(into.ScopeSpans().At(into.ScopeSpans().Len() - 1).Spans().AppendEmpty())
			}
		}
	}
	return made.filled
}

// oneBucket tells whether all spans of a resource have the same bucket.
func oneBucket(c *Config, resource ptrace.ResourceSpans) (int, bool) {
	only := -1
	for _, scope := range resource.ScopeSpans().All() {
		for _, span := range scope.Spans().All() {
			id := span.TraceID()
			index := bucketOf(id[:], c.Buckets)
			if only >= 0 && index != only {
				return 0, false
			}
			only = index
		}
	}
	return max(only, 0), true
}

type buckets[T any] struct {
	filled []bucket[T]
	place  []int // 1 + index in filled
	create func() T
}

func newBuckets[T any](count int, create func() T) *buckets[T] {
	return &buckets[T]{place: make([]int, count), create: create}
}

func (b *buckets[T]) of(index int) T {
	if b.place[index] == 0 {
		b.filled = append(b.filled, bucket[T]{index: index, data: b.create()})
		b.place[index] = len(b.filled)
	}
	return b.filled[b.place[index]-1].data
}
