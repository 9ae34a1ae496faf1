package gate

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

var seed = maphash.MakeSeed()

func hashString(text string) uint64 { return maphash.String(seed, text) }

// mix spreads the bits of a sum of hashes.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	h ^= h >> 32
	return h
}

const (
	probes     = 16
	clientRows = 2
	clientBits = 14
)

// table remembers hashes: a fixed number of slots of 32 bits, found by the upper half of the hash.
type table struct {
	slots  []atomic.Uint32
	shift  int
	weight atomic.Int64
}

func newTable(budget int) *table {
	size := 1 << bits.Len(uint(2*max(budget, 512)))
	return &table{slots: make([]atomic.Uint32, size), shift: 64 - bits.Len(uint(size-1))}
}

// find tells whether a hash is known; else free is a slot for it, or -1.
func (t *table) find(h uint64) (known bool, free int) {
	tag, mask := uint32(h)|1, len(t.slots)-1
	at := int(h >> t.shift)
	for range probes {
		switch t.slots[at&mask].Load() {
		case tag:
			return true, 0
		case 0:
			return false, at & mask
		}
		at++
	}
	return false, -1
}

// sketch counts what a layer has within the window: a bounded memory, exact but for rare collisions, which let pass.
type sketch struct {
	limit, clientLimit int64
	window             time.Duration
	mutex              sync.Mutex // of what is new
	rotated            time.Time
	state              atomic.Pointer[generations]
}

type generations struct {
	now, before *table
	moved       atomic.Int64 // weight of what is in both
	clients     [clientRows][1 << clientBits]atomic.Uint32
}

func newSketch(limit, clientLimit int, window time.Duration, now time.Time) *sketch {
	s := &sketch{limit: int64(limit), clientLimit: int64(clientLimit), window: window, rotated: now}
	s.state.Store(&generations{now: newTable(limit), before: newTable(0)})
	return s
}

type verdict uint8

const (
	within verdict = iota
	overBudget
	overClientBudget
	unasked
)

// admit counts something with the hash h, unless a budget is used up.
func (s *sketch) admit(h, client uint64, weight int64) verdict {
	state := s.state.Load()
	if known, _ := state.now.find(h); known {
		return within
	}
	return s.add(h, client, weight)
}

func (s *sketch) add(h, client uint64, weight int64) verdict {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	state := s.state.Load()
	known, free := state.now.find(h)
	if known {
		return within
	}
	old, _ := state.before.find(h)
	if free < 0 || !old && s.used(state)+weight > s.limit {
		return overBudget
	}
	if s.clientLimit > 0 && client != 0 {
		if int64(state.client(client))+weight > s.clientLimit {
			return overClientBudget
		}
		state.countClient(client, uint32(weight))
	}
	if old {
		state.moved.Add(weight)
	}
	state.now.weight.Add(weight)
	state.now.slots[free].Store(uint32(h) | 1)
	return within
}

// used is the weight of everything within the window.
func (s *sketch) used(state *generations) int64 {
	return state.now.weight.Load() + max(0, state.before.weight.Load()-state.moved.Load())
}

// count is what the layer has.
func (s *sketch) count() int64 { return s.used(s.state.Load()) }

func (g *generations) client(client uint64) uint32 {
	least := ^uint32(0)
	for row := range clientRows {
		least = min(least, g.clients[row][client>>(row*clientBits)&(1<<clientBits-1)].Load())
	}
	return least
}

func (g *generations) countClient(client uint64, weight uint32) {
	for row := range clientRows {
		g.clients[row][client>>(row*clientBits)&(1<<clientBits-1)].Add(weight)
	}
}

// rotate begins a new window when the old one has passed; what is not seen again is forgotten after the next.
func (s *sketch) rotate(now time.Time) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if now.Sub(s.rotated) < s.window {
		return
	}
	s.rotated = now
	s.state.Store(&generations{now: newTable(int(s.limit)), before: s.state.Load().now})
}
