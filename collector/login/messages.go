package login

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/extension/extensionmiddleware"
	"google.golang.org/grpc/mem"

	"obs-platform/collector/wire"
)

const (
	messageBytes = 128 // what a decoded message takes, about
	firstBuffer  = 4 << 10
	largestKept  = 16 << 20
)

// buffers has one pool for each size: a short body never holds the buffer of a long one.
var buffers = func() mem.BufferPool {
	var sizes []int
	for size := firstBuffer; size <= largestKept; size *= 2 {
		sizes = append(sizes, size)
	}
	return mem.NewTieredBufferPool(sizes...)
}()

var paths = map[string]wire.Signal{"/v1/metrics": wire.Metrics, "/v1/traces": wire.Traces, "/v1/logs": wire.Logs}

// GetHTTPHandler looks through the body of a request before it is decoded, and bounds what requests may take at once, from the
// first byte of a body on.
func (l *login) GetHTTPHandler(context.Context) (extensionmiddleware.WrapHTTPHandlerFunc, error) {
	return func(_ context.Context, base http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			of, known := paths[r.URL.Path]
			if !known || r.Body == nil {
				base.ServeHTTP(w, r)
				return
			}
			share := l.shares.find(user(r.Context()), of)
			if share != nil {
				if refused := share.begins(l.now(), false); refused != nil {
					l.comeAgain(w, r, share, refused)
					return
				}
			}
			taking := &taking{login: l, share: share}
			defer taking.end()
			body, refused, err := taking.read(r.Body)
			if refused != nil {
				w.Header().Set("Connection", "close") // the answer does not wait for the rest
				l.comeAgain(w, r, share, refused)
				return
			}
			if err != nil {
				r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
				base.ServeHTTP(w, r)
				return
			}
			counts, err := scan(of, r.Header.Get("Content-Type"), body)
			if err != nil {
				l.refusedMessage(r.Context(), err)
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			taken := sizeOf(len(body), counts)
			if refused := taking.hold(taken.weight); refused != nil {
				l.comeAgain(w, r, share, refused)
				return
			}
			if share != nil {
				if refused := share.enter(l.now(), taken); refused != nil {
					l.comeAgain(w, r, share, refused)
					return
				}
				defer share.leave(taken)
				l.shares.count(r.Context(), share, taken)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			base.ServeHTTP(w, r)
		}), nil
	}, nil
}

// taking is what a request of HTTP takes of the memory there is for requests, counted before it is taken: its buffer while it is
// read, its weight once that is known.
type taking struct {
	login  *login
	share  *share // nil where nothing is divided
	held   int64
	buffer *[]byte
}

// hold takes more, or gives back, until the request holds weight; nil: it may go on.
func (t *taking) hold(weight int64) *refusal {
	more := weight - t.held
	if t.share != nil && !t.share.memory.grow(t.held, more) {
		return &refusal{"memory", shortestWait}
	}
	if t.login.bytes.Add(more) > t.login.config.MaxInFlightBytes && more > 0 {
		t.login.bytes.Add(-more)
		if t.share != nil {
			t.share.memory.give(more)
		}
		return &refusal{"flooded", shortestWait}
	}
	t.held = weight
	return nil
}

// read is a whole body, or what came of it until an error.
func (t *taking) read(from io.Reader) (body []byte, refused *refusal, err error) {
	for {
		if length := len(body); length == cap(body) {
			if refused := t.widen(max(firstBuffer, 2*length)); refused != nil {
				return nil, refused, nil
			}
			body = (*t.buffer)[:length:len(*t.buffer)]
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil, nil
		}
		if err != nil {
			return body, nil, err
		}
	}
}

// widen has a larger buffer take the place of the one there is.
func (t *taking) widen(size int) *refusal {
	if refused := t.hold(int64(size)); refused != nil {
		return refused
	}
	larger := buffers.Get(size)
	if t.buffer != nil {
		copy(*larger, *t.buffer)
		buffers.Put(t.buffer)
	}
	t.buffer = larger
	return nil
}

// end gives everything back.
func (t *taking) end() {
	t.hold(0)
	if t.buffer != nil {
		buffers.Put(t.buffer)
	}
}

// comeAgain answers a request that is beyond its user's share, or beyond what there is for all.
func (l *login) comeAgain(w http.ResponseWriter, r *http.Request, share *share, refused *refusal) {
	if refused.reason == "flooded" {
		_ = l.refuse(r.Context(), refused.reason, errFlooded)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests at once: try again", http.StatusServiceUnavailable)
		return
	}
	line, wait := l.shares.refuse(r.Context(), share, refused)
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	http.Error(w, line, http.StatusTooManyRequests)
}

func scan(of wire.Signal, content string, body []byte) (counts wire.Counts, err error) {
	if strings.HasPrefix(content, "application/json") {
		messages, err := wire.ScanJSON(body)
		return wire.Counts{Messages: messages, Items: (len(body) + jsonItemBytes - 1) / jsonItemBytes}, err
	}
	counts, _, err = wire.Scan(of, body, true)
	return counts, err
}

// sizeOf is what a message takes that was looked through.
func sizeOf(length int, counts wire.Counts) size {
	return size{weight: int64(length + counts.Messages*messageBytes), bytes: int64(length), items: int64(counts.Items)}
}

// refusedMessage counts by the first word of what is wrong.
func (l *login) refusedMessage(ctx context.Context, err error) {
	reason, _, _ := strings.Cut(err.Error(), ":")
	_ = l.refuse(ctx, reason, err)
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
