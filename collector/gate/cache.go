package gate

import (
	"strings"
	"sync"
)

const (
	shards      = 16
	longestText = 192 // of what is remembered
)

// cache remembers what became of texts that come again and again: bounded, the least used half goes.
type cache[V any] struct {
	limit int // entries of one shard and generation
	parts [shards]struct {
		mutex       sync.RWMutex
		now, before map[string]V
		_           [24]byte
	}
}

func newCache[V any](entries int) *cache[V] {
	c := &cache[V]{limit: max(entries/shards/2, 16)}
	for index := range c.parts {
		c.parts[index].now = map[string]V{}
	}
	return c
}

func (c *cache[V]) get(key string) (V, bool) {
	part := &c.parts[hashString(key)%shards]
	part.mutex.RLock()
	value, ok := part.now[key]
	if ok {
		part.mutex.RUnlock()
		return value, true
	}
	value, ok = part.before[key]
	part.mutex.RUnlock()
	if ok {
		c.put(key, value)
	}
	return value, ok
}

func (c *cache[V]) put(key string, value V) {
	part := &c.parts[hashString(key)%shards]
	part.mutex.Lock()
	if len(part.now) >= c.limit {
		part.before, part.now = part.now, make(map[string]V, c.limit)
	}
	part.now[strings.Clone(key)] = value
	part.mutex.Unlock()
}
