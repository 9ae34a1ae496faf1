package login

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"obs-platform/collector/wire"
)

// behind is a server of HTTP behind the login's middleware, which notes what reaches the receiver.
func behind(t *testing.T, l *login, receiver http.HandlerFunc) http.Handler {
	t.Helper()
	wrap, err := l.GetHTTPHandler(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	handler, err := wrap(context.Background(), receiver)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func posted(handler http.Handler, path, content string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	request.Header.Set("Content-Type", content)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

func deepLog(depth int) []byte {
	data := plog.NewLogs()
	value := data.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body()
	for range depth {
		value = value.SetEmptySlice().AppendEmpty()
	}
	raw, err := plogotlp.NewExportRequestFromLogs(data).MarshalProto()
	if err != nil {
		panic(err)
	}
	return raw
}

const protobuf = "application/x-protobuf"

func TestABodyReachesTheReceiverAsItIsUnlessItIsHarmful(t *testing.T) {
	var seen []byte
	handler := behind(t, started(t, nil), func(w http.ResponseWriter, r *http.Request) { seen, _ = io.ReadAll(r.Body) })
	harmless := deepLog(3)
	for path, body := range map[string][]byte{"/v1/logs": harmless, "/other": bytes.Repeat([]byte{0x0a, 0}, wire.MostMessages+1)} {
		if answer := posted(handler, path, protobuf, body); answer.Code != http.StatusOK || !bytes.Equal(seen, body) {
			t.Errorf("%s: %d", path, answer.Code)
		}
	}
	if answer := posted(handler, "/v1/logs", protobuf, deepLog(5000)); answer.Code != http.StatusOK || bytes.Equal(seen, deepLog(5000)) {
		t.Errorf("deep: %d", answer.Code)
	}
	for reason, request := range map[string]struct {
		content string
		body    []byte
	}{
		"items":     {protobuf, bytes.Repeat([]byte{0x0a, 0}, wire.MostMessages+1)},
		"malformed": {protobuf, []byte{0x7b}},
		"depth":     {"application/json; charset=utf-8", []byte(strings.Repeat("[", 5000))},
	} {
		seen = nil
		answer := posted(handler, "/v1/logs", request.content, request.body)
		if answer.Code != http.StatusBadRequest || !strings.HasPrefix(answer.Body.String(), reason) || seen != nil {
			t.Errorf("%s: %d %s", reason, answer.Code, answer.Body)
		}
	}
}

type cutOff struct{ io.Reader }

func (c cutOff) Read(into []byte) (int, error) {
	if n, err := c.Reader.Read(into); err == nil {
		return n, nil
	}
	return 0, errors.New("cut off")
}

func TestABodyThatBreaksOffBreaksOffForTheReceiver(t *testing.T) {
	var failed error
	handler := behind(t, started(t, nil), func(w http.ResponseWriter, r *http.Request) { _, failed = io.ReadAll(r.Body) })
	request := httptest.NewRequest(http.MethodPost, "/v1/logs", cutOff{strings.NewReader("part")})
	handler.ServeHTTP(httptest.NewRecorder(), request)
	if failed == nil || failed.Error() != "cut off" {
		t.Error(failed)
	}
}

func TestRequestsBeyondTheBoundOfBytesAreToldToComeAgain(t *testing.T) {
	l := started(t, func(c *Config) { c.MaxInFlightBytes = 2000 })
	received, hold := make(chan struct{}, 10), make(chan struct{})
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) {
		received <- struct{}{}
		<-hold
	})
	first := make(chan int, 1)
	go func() { first <- posted(handler, "/v1/logs", protobuf, deepLog(3)).Code }()
	<-received
	answer := posted(handler, "/v1/logs", protobuf, deepLog(3))
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
		t.Errorf("answer is %d", answer.Code)
	}
	close(hold)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first: %d", code)
	}
	if left := l.bytes.Load(); left != 0 {
		t.Errorf("%d bytes are still in flight", left)
	}
	if code := posted(handler, "/v1/logs", protobuf, deepLog(3)).Code; code != http.StatusOK {
		t.Errorf("afterwards: %d", code)
	}
}

func TestAMessageOfGRPCIsLookedThroughBeforeItIsDecoded(t *testing.T) {
	r, to := served(t, started(t, nil))
	close(r.hold)
	export := func(edit func(pcommon.Map)) error {
		data := pmetric.NewMetrics()
		points := data.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints()
		edit(points.AppendEmpty().Attributes())
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", basic("device", "right"))
		_, err := to.Export(ctx, pmetricotlp.NewExportRequestFromMetrics(data))
		return err
	}
	err := export(func(attributes pcommon.Map) {
		for number := range wire.MostAttributes + 1 {
			attributes.PutInt(strconv.Itoa(number), 1)
		}
	})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "attributes") {
		t.Errorf("a flood of attributes: %v", err)
	}
	if len(r.received) != 0 {
		t.Error("it reached the receiver")
	}
	for _, depth := range []int{3, 5000} {
		if err := export(func(attributes pcommon.Map) {
			value := attributes.PutEmpty("deep")
			for range depth {
				value = value.SetEmptySlice().AppendEmpty()
			}
		}); err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	if len(r.received) != 2 {
		t.Errorf("%d requests reached the receiver, want 2", len(r.received))
	}
}

func TestWhoIsKnownStaysKnownAsLongAsItComes(t *testing.T) {
	l := started(t, nil)
	now := time.Now()
	l.now = func() time.Time { return now }
	for range 5 {
		if _, _, err := l.check(context.Background(), basic("device", "right")); err != nil {
			t.Fatal(err)
		}
		l.waiting.Store(int64(l.config.Waiting)) // others wait for ever
		now = now.Add(l.config.Remember * 3 / 4)
	}
}
