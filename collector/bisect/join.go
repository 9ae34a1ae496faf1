package bisect

import (
	"context"
	"sync"
	"time"
)

// joiner sends what waits together: while a request is under way, and a moment before it, callers queue, and the next
// request takes all of them that fit. Each caller hears what became of the request with its data.
type joiner[T any] struct {
	operations[T]
	items    int           // of one request, unless a single caller has more
	requests int           // under way at the same time
	linger   time.Duration // before a request, for others to come
	send     func(ctx context.Context, data T, callers int) error

	base    context.Context
	stop    context.CancelFunc
	working sync.WaitGroup
	mutex   sync.Mutex
	waiting []call[T]
	busy    int
}

type call[T any] struct {
	data   T
	items  int
	answer chan error
}

func newJoiner[T any](with operations[T], config *Config, send func(context.Context, T, int) error) *joiner[T] {
	base, stop := context.WithCancel(context.Background())
	return &joiner[T]{
		operations: with, items: config.JoinedItems, requests: config.InFlight, linger: config.Linger, send: send,
		base: base, stop: stop,
	}
}

// consume returns when the request with the data has been answered, or when the caller's context ends; in the second
// case the data may arrive all the same.
func (j *joiner[T]) consume(ctx context.Context, data T) error {
	own := call[T]{data: data, items: j.count(data), answer: make(chan error, 1)}
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
func (j *joiner[T]) work() {
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
		data := calls[0].data
		for _, other := range calls[1:] {
			j.join(data, other.data)
		}
		err := j.send(j.base, data, len(calls))
		for _, answered := range calls {
			answered.answer <- err
		}
	}
}

// take is the next request's part of the queue. When there is none, one worker less is busy.
func (j *joiner[T]) take() []call[T] {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if len(j.waiting) == 0 {
		j.busy--
		return nil
	}
	number, items := 1, j.waiting[0].items
	for number < len(j.waiting) && items+j.waiting[number].items <= j.items {
		items += j.waiting[number].items
		number++
	}
	calls := j.waiting[:number:number]
	j.waiting = j.waiting[number:]
	return calls
}

// close ends what is under way.
func (j *joiner[T]) close() {
	j.stop()
	j.working.Wait()
}
