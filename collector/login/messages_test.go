package login

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
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
	l := started(t, func(c *Config) { c.MaxInFlightBytes = firstBuffer + 100 })
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

// stalled is a body of which no more comes than there is, until it is told how it ends.
type stalled struct {
	there io.Reader
	stuck chan<- struct{}
	ends  <-chan error
}

func (s *stalled) Read(into []byte) (int, error) {
	if n, err := s.there.Read(into); err == nil {
		return n, nil
	}
	s.stuck <- struct{}{}
	return 0, <-s.ends
}

// requestOf is one of a user, with a body that may stall.
func requestOf(user string, body io.Reader) *http.Request {
	request := httptest.NewRequest(http.MethodPost, "/v1/logs", body)
	request.Header.Set("Content-Type", protobuf)
	return request.WithContext(client.NewContext(request.Context(), client.Info{Auth: identity(user)}))
}

// roomy is a login whose two users may each hold a quarter of 8 MiB, and both half of it.
func roomy(c *Config) {
	divided(nil)(c)
	c.MaxInFlightBytes = 8 << 20
	c.Queues = map[string]int64{"metrics": 64 << 20, "traces": 64 << 20, "logs": 64 << 20}
	for user, of := range c.Clients {
		c.Clients[user] = Client{Share: of.Share, Rates: rates(1e9, 1e9)}
	}
}

// atRest tells whether nothing is counted any more.
func atRest(l *login) bool {
	for _, of := range l.shares.of {
		pool := of[wire.Logs].memory.pool
		pool.mutex.Lock()
		borrowed := pool.borrowed
		pool.mutex.Unlock()
		if borrowed != 0 || of[wire.Logs].memory.inUse() != 0 || of[wire.Logs].queue.inUse() != 0 {
			return false
		}
	}
	return l.bytes.Load() == 0
}

func TestBodiesThatStallHoldNoMoreThanTheirLayersShareAndAnotherLayerPasses(t *testing.T) {
	reader := sdk.NewManualReader()
	l := startedWith(t, sdk.NewMeterProvider(sdk.WithReader(reader)), roomy)
	handler := behind(t, l, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	const limit = 1 << 20
	stuck, ends, answers := make(chan struct{}), make(chan error), make(chan *httptest.ResponseRecorder)
	held, refused := 0, 0
	for range 40 {
		body := &stalled{bytes.NewReader(make([]byte, limit*9/10)), stuck, ends}
		go func() {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, requestOf("device", body))
			answers <- answer
		}()
		select {
		case <-stuck:
			held++
		case answer := <-answers:
			refused++
			if answer.Code != http.StatusTooManyRequests || answer.Header().Get("Retry-After") == "" ||
				!strings.Contains(answer.Body.String(), "device has more in flight than its share") {
				t.Errorf("answer is %d %v %s", answer.Code, answer.Header(), answer.Body)
			}
		}
	}
	// Its own 2 MiB, and the 4 that are everybody's.
	if held != 6 || refused != 34 || l.bytes.Load() != 6*limit || l.shares.find("device", wire.Logs).memory.inUse() != 6*limit {
		t.Errorf("%d are held and %d refused, %d bytes are counted", held, refused, l.bytes.Load())
	}
	if got := series(t, reader, "otelcol_login_throttled_requests"); got["layer=device,reason=memory,signal=logs"] != 34 {
		t.Errorf("counted is %v", got)
	}
	if answer := postedAs(handler, "data", "/v1/logs", bytes.Repeat([]byte{0x18, 0}, limit*9/20)); answer.Code != http.StatusOK {
		t.Errorf("another layer: %d %s", answer.Code, answer.Body)
	}
	for number := range held {
		end, want := context.DeadlineExceeded, http.StatusBadRequest
		if number%2 == 0 {
			end, want = io.EOF, http.StatusOK
		}
		ends <- end
		if answer := <-answers; answer.Code != want {
			t.Errorf("after %v: %d", end, answer.Code)
		}
	}
	if !atRest(l) {
		t.Errorf("%d bytes are still counted", l.bytes.Load())
	}
}

func TestBodiesThatStallAreBoundedTooWhereNothingIsDivided(t *testing.T) {
	l := started(t, func(c *Config) { c.MaxInFlightBytes = 1 << 20 })
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) {})
	stuck, ends, answers := make(chan struct{}), make(chan error), make(chan int, 1)
	go func() {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, requestOf("", &stalled{bytes.NewReader(make([]byte, 600<<10)), stuck, ends}))
		answers <- answer.Code
	}()
	<-stuck
	if answer := posted(handler, "/v1/logs", protobuf, nil); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "1" {
		t.Errorf("answer is %d %v", answer.Code, answer.Header())
	}
	ends <- errors.New("cut off")
	<-answers
	if left := l.bytes.Load(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
}

func TestOneRequestIsLetInWhileOthersHoldAllButALayersPartThoughItIsLargerThanThat(t *testing.T) {
	l := started(t, roomy)
	l.shares.find("data", wire.Logs).memory.force(6 << 20)
	handler := behind(t, l, func(http.ResponseWriter, *http.Request) {})
	if answer := postedAs(handler, "device", "/v1/logs", bytes.Repeat([]byte{0x18, 0}, 3<<19)); answer.Code != http.StatusOK {
		t.Errorf("3 MiB of the 2 that are its own: %d %s", answer.Code, answer.Body)
	}
}

func TestWhatARequestHoldsIsCountedOnceAndGivenBackHoweverItEnds(t *testing.T) {
	l := started(t, roomy)
	memory := l.shares.find("device", wire.Logs).memory
	body := bytes.Repeat([]byte{0x18, 0}, 50_000)
	var counted [2]int64
	handler := behind(t, l, func(_ http.ResponseWriter, r *http.Request) {
		counted = [2]int64{l.bytes.Load(), memory.inUse()}
		if r.Header.Get("Fails") != "" {
			panic(http.ErrAbortHandler)
		}
	})
	counts, err := scan(wire.Logs, protobuf, bytes.Clone(body))
	if err != nil {
		t.Fatal(err)
	}
	weight := sizeOf(len(body), counts).weight
	for name, request := range map[string]struct {
		body    io.Reader
		fails   string
		counted int64
	}{
		"let in":    {bytes.NewReader(body), "", weight},
		"a panic":   {bytes.NewReader(body), "yes", weight},
		"malformed": {bytes.NewReader(append(bytes.Clone(body), 0x7b)), "", 0},
		"cut off":   {cutOff{bytes.NewReader(body)}, "", 128 << 10}, // the buffer, for the receiver is to see the rest
		"empty":     {bytes.NewReader(nil), "", 0},
	} {
		counted = [2]int64{}
		func() {
			defer func() { _ = recover() }()
			sent := requestOf("device", request.body)
			sent.Header.Set("Fails", request.fails)
			handler.ServeHTTP(httptest.NewRecorder(), sent)
		}()
		if counted != [2]int64{request.counted, request.counted} {
			t.Errorf("%s: %v are counted, want %d", name, counted, request.counted)
		}
		if !atRest(l) {
			t.Errorf("%s: %d bytes are still counted", name, l.bytes.Load())
		}
	}
	l.shares.find("device", wire.Logs).queue.force(64<<20 - 1)
	postedAs(handler, "device", "/v1/logs", body)
	if l.bytes.Load() != 0 || memory.inUse() != 0 {
		t.Error("refused by the queue: something is still counted")
	}
}

func TestARefusalDoesNotWaitForTheRestOfABodyAndATimeoutOrAClientThatLeavesGivesBackWhatIsHeld(t *testing.T) {
	l := started(t, roomy)
	wrapped := behind(t, l, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		packed, err := gzip.NewReader(r.Body)
		if err != nil {
			return
		}
		r.Body = packed
		wrapped.ServeHTTP(w, r.WithContext(client.NewContext(r.Context(), client.Info{Auth: identity("device")})))
	}))
	server.Config.ReadTimeout = 5 * time.Second
	server.Start()
	defer server.Close()
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	_, _ = packer.Write(make([]byte, 3<<20))
	_ = packer.Flush()
	stall := func() net.Conn {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		_, _ = fmt.Fprintf(connection, "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s", packed.Bytes())
		return connection
	}
	first := stall()
	eventually(t, "the first body is held", func() bool { return l.bytes.Load() == 4<<20 })
	second := stall()
	_ = second.SetReadDeadline(time.Now().Add(4 * time.Second)) // less than the server waits for a body
	answer, err := http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" || !answer.Close {
		t.Fatalf("answer is %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	if held := l.bytes.Load(); held != 4<<20 {
		t.Errorf("%d bytes are counted, want the first's", held)
	}
	_ = first.Close()
	eventually(t, "the first has left", func() bool { return atRest(l) })
	third := stall()
	eventually(t, "the third body is held", func() bool { return l.bytes.Load() == 4<<20 })
	eventually(t, "its time is up", func() bool { return atRest(l) })
	_ = third.Close()
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
