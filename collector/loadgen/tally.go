package main

import (
	"math"
	"strconv"
	"sync"
	"time"
)

// tally counts what became of the requests. Everything is in items; requests are counted beside them.
type tally struct {
	sent, acknowledged counter

	mutex     sync.Mutex
	requests  int64
	bytes     int64
	answers   map[string]int64 // status -> requests, those that were not taken
	rejected  int64            // items that a 200 says were rejected
	timeouts  int64            // requests without an answer in time
	errors    int64            // requests without an answer for another reason
	lastError string
	left      int64 // items of slots that were too late
	byPart    []int64
	fromDue   histogram
	fromSent  histogram
}

// Result is what is printed at the end.
type Result struct {
	Seconds         float64            `json:"seconds"`
	OfferedItems    int64              `json:"offered_items"`
	SentItems       int64              `json:"sent_items"`
	Acknowledged    int64              `json:"acknowledged_items"`
	RejectedItems   int64              `json:"rejected_items"`
	NotSentItems    int64              `json:"not_sent_items"`
	Requests        int64              `json:"requests"`
	RefusedByStatus map[string]int64   `json:"refused_requests_by_status"`
	Timeouts        int64              `json:"requests_timed_out"`
	Errors          int64              `json:"requests_failed"`
	LastError       string             `json:"last_error,omitempty"`
	AcknowledgedOf  []int64            `json:"acknowledged_items_by_part"`
	LatencyMs       map[string]float64 `json:"latency_ms"`
	ServiceMs       map[string]float64 `json:"service_ms"`
	ItemsPerRequest float64            `json:"items_per_request"`
	BytesSent       int64              `json:"bytes_sent"`
	CPUSeconds      float64            `json:"cpu_seconds"`
}

func newTally(plan *Plan) *tally {
	return &tally{answers: map[string]int64{}, byPart: make([]int64, len(plan.Parts))}
}

func (t *tally) sending(part *Part, size int) {
	t.sent.Add(int64(part.Items))
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.requests++
	t.bytes += int64(size)
}

func (t *tally) answered(number int, part *Part, status int, text []byte, sinceDue, sinceSent time.Duration) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.fromDue.add(sinceDue)
	t.fromSent.add(sinceSent)
	if status != 200 {
		t.answers[strconv.Itoa(status)]++
		return
	}
	rejected := min(rejectedItems(text), int64(part.Items))
	t.rejected += rejected
	t.acknowledged.Add(int64(part.Items) - rejected)
	t.byPart[number] += int64(part.Items) - rejected
}

func (t *tally) failed(err error, timeout bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if timeout {
		t.timeouts++
	} else {
		t.errors++
		t.lastError = err.Error()
	}
}

func (t *tally) leftOut(plan *Plan) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.left += int64(plan.itemsPerSlot())
}

func (t *tally) result(plan *Plan, took time.Duration, cpu float64) *Result {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	perRequest := 0.0
	if t.requests > 0 {
		perRequest = float64(t.sent.Load()) / float64(t.requests)
	}
	return &Result{
		Seconds:         took.Seconds(),
		OfferedItems:    t.sent.Load() + t.left,
		SentItems:       t.sent.Load(),
		Acknowledged:    t.acknowledged.Load(),
		RejectedItems:   t.rejected,
		NotSentItems:    t.left,
		Requests:        t.requests,
		RefusedByStatus: t.answers,
		Timeouts:        t.timeouts,
		Errors:          t.errors,
		LastError:       t.lastError,
		AcknowledgedOf:  t.byPart,
		LatencyMs:       t.fromDue.quantiles(),
		ServiceMs:       t.fromSent.quantiles(),
		ItemsPerRequest: perRequest,
		BytesSent:       t.bytes,
		CPUSeconds:      cpu,
	}
}

// rejectedItems reads partial_success.rejected_* of an OTLP answer: field 1 of field 1. 0 where there is none.
func rejectedItems(answer []byte) int64 {
	inner, found := field(answer, 1)
	if !found {
		return 0
	}
	return varintField(inner, 1)
}

// field is the content of the first length-delimited field of this number.
func field(message []byte, number uint64) ([]byte, bool) {
	for len(message) > 0 {
		key, rest, good := varint(message)
		if !good || key&7 != 2 {
			return nil, false
		}
		size, rest, good := varint(rest)
		if !good || size > uint64(len(rest)) {
			return nil, false
		}
		if key>>3 == number {
			return rest[:size], true
		}
		message = rest[size:]
	}
	return nil, false
}

func varintField(message []byte, number uint64) int64 {
	key, rest, good := varint(message)
	if !good || key != number<<3 {
		return 0
	}
	value, _, good := varint(rest)
	if !good || value > math.MaxInt64 {
		return 0
	}
	return int64(value)
}

func varint(message []byte) (uint64, []byte, bool) {
	var value uint64
	for index := 0; index < len(message) && index < 10; index++ {
		value |= uint64(message[index]&0x7f) << (7 * index)
		if message[index] < 0x80 {
			return value, message[index+1:], true
		}
	}
	return 0, nil, false
}

const (
	smallest = 50 * time.Microsecond
	growth   = 1.02
	buckets  = 800
)

// histogram keeps times in buckets that grow by 2 %, from 50 microseconds up to about six minutes.
type histogram struct {
	counts [buckets]int64
	total  int64
	most   time.Duration
}

func (h *histogram) add(value time.Duration) {
	bucket := 0
	if value > smallest {
		bucket = min(buckets-1, 1+int(math.Log(float64(value)/float64(smallest))/math.Log(growth)))
	}
	h.counts[bucket]++
	h.total++
	h.most = max(h.most, value)
}

// quantiles are upper limits in milliseconds; empty where there was nothing.
func (h *histogram) quantiles() map[string]float64 {
	found := map[string]float64{}
	if h.total == 0 {
		return found
	}
	for name, share := range map[string]float64{"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99} {
		found[name] = milliseconds(min(h.quantile(share), h.most))
	}
	found["max"] = milliseconds(h.most)
	return found
}

func (h *histogram) quantile(share float64) time.Duration {
	wanted := int64(math.Ceil(share * float64(h.total)))
	var seen int64
	for bucket, count := range h.counts {
		seen += count
		if seen >= wanted {
			return time.Duration(float64(smallest) * math.Pow(growth, float64(bucket)))
		}
	}
	return h.most
}

func milliseconds(value time.Duration) float64 {
	return math.Round(float64(value)/float64(time.Microsecond)) / 1000
}
