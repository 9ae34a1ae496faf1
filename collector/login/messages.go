package login

import (
	"bytes"
	"context"
	"io"
	"net/http"
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
			messages, err := scan(of, r.Header.Get("Content-Type"), buffer.Bytes())
			if err != nil {
				l.refusedMessage(r.Context(), err)
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			weight := int64(buffer.Len() + messages*messageBytes)
			defer l.bytes.Add(-weight)
			if l.bytes.Add(weight) > l.config.MaxInFlightBytes {
				_ = l.refuse(r.Context(), "flooded", errFlooded)
				w.Header().Set("Retry-After", "1")
				http.Error(w, "too many requests at once: try again", http.StatusServiceUnavailable)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(buffer.Bytes()))
			base.ServeHTTP(w, r)
		}), nil
	}, nil
}

func scan(of wire.Signal, content string, body []byte) (messages int, err error) {
	if strings.HasPrefix(content, "application/json") {
		return wire.ScanJSON(body)
	}
	messages, _, err = wire.Scan(of, body, true)
	return messages, err
}

// refusedMessage counts by the first word of what is wrong.
func (l *login) refusedMessage(ctx context.Context, err error) {
	reason, _, _ := strings.Cut(err.Error(), ":")
	_ = l.refuse(ctx, reason, err)
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
