package otlprecords

import (
	"context"
	"sync"
	"time"
)

// joiner sends what waits together: while a request is under way, and a moment before it, callers queue, and the next
// request takes all of them that fit. Each caller hears what became of the request with its record.
type joiner struct {
	bytes    int           // of one request, unless a single record has more
	requests int           // under way at the same time
	linger   time.Duration // before a request, for others to come
	send     func(context.Context, records) error

	base    context.Context
	stop    context.CancelFunc
	working sync.WaitGroup
	mutex   sync.Mutex
	waiting []call
	busy    int
}

type call struct {
	record
	answer chan error
}

func newJoiner(config *Config, send func(context.Context, records) error) *joiner {
	base, stop := context.WithCancel(context.Background())
	return &joiner{
		bytes: config.JoinedBytes, requests: config.InFlight, linger: config.Linger, send: send, base: base, stop: stop,
	}
}

// consume returns when the request with the record has been answered, or when the caller's context ends; in the second
// case the record may arrive all the same.
func (j *joiner) consume(ctx context.Context, one record) error {
	own := call{record: one, answer: make(chan error, 1)}
	j.mutex.Lock()
	j.waiting = append(j.waiting, own)
	if j.busy < j.requests {
		j.busy++
		j.working.Add(1)
		go j.work()
	}
	j.mutex.Unlock()
	select {
	case err := <-own.answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// work sends until nobody waits.
func (j *joiner) work() {
	defer j.working.Done()
	for {
		select {
		case <-time.After(j.linger):
		case <-j.base.Done():
		}
		calls := j.take()
		if len(calls) == 0 {
			return
		}
		all := make(records, len(calls))
		for number, one := range calls {
			all[number] = one.record
		}
		err := j.send(j.base, all)
		for _, answered := range calls {
			answered.answer <- err
		}
	}
}

// take is the next request's part of the queue. When there is none, one worker less is busy. A record that does not end
// as it should goes alone, since it would take the next one's bytes for its own.
func (j *joiner) take() []call {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if len(j.waiting) == 0 {
		j.busy--
		return nil
	}
	number, size := 1, len(j.waiting[0].value)
	for number < len(j.waiting) && j.waiting[number-1].whole && j.waiting[number].whole && size+len(j.waiting[number].value) <= j.bytes {
		size += len(j.waiting[number].value)
		number++
	}
	calls := j.waiting[:number:number]
	j.waiting = j.waiting[number:]
	return calls
}

// close ends what is under way.
func (j *joiner) close() {
	j.stop()
	j.working.Wait()
}
