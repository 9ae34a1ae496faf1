package login

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/extension/extensionmiddleware"

	"obs-platform/collector/wire"
)

const (
	messageBytes = 128 // what a decoded message takes, about
	keptBuffer   = 4 << 20
)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var paths = map[string]wire.Signal{"/v1/metrics": wire.Metrics, "/v1/traces": wire.Traces, "/v1/logs": wire.Logs}

// GetHTTPHandler looks through the body of a request before it is decoded, and bounds what requests may take at once.
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
			buffer := buffers.Get().(*bytes.Buffer)
			buffer.Reset()
			defer func() {
				if buffer.Cap() <= keptBuffer {
					buffers.Put(buffer)
				}
			}()
			if _, err := buffer.ReadFrom(r.Body); err != nil {
				r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(buffer.Bytes()), broken{err}))
				base.ServeHTTP(w, r)
				return
			}
			counts, err := scan(of, r.Header.Get("Content-Type"), buffer.Bytes())
			if err != nil {
				l.refusedMessage(r.Context(), err)
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			taken := sizeOf(buffer.Len(), counts)
			weight := taken.weight
			defer l.bytes.Add(-weight)
			if l.bytes.Add(weight) > l.config.MaxInFlightBytes {
				_ = l.refuse(r.Context(), "flooded", errFlooded)
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once: try again", http.StatusServiceUnavailable)
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
			r.Body = io.NopCloser(bytes.NewReader(buffer.Bytes()))
			base.ServeHTTP(w, r)
		}), nil
	}, nil
}

// comeAgain answers a request that is beyond its user's share.
func (l *login) comeAgain(w http.ResponseWriter, r *http.Request, share *share, refused *refusal) {
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
