package otlprecords

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// prometheus takes what has no bad value, and keeps its numbers; one bad value refuses the request.
type prometheus struct {
	t     *testing.T
	bad   map[int64]bool
	blame int           // status with which it answers bad values; 0: 400
	other map[int64]int // status with which it answers a bad value that differs
	away  int           // status with which it answers everything; 0: none
	gate  chan struct{} // answers wait for it; nil: none does
	says  []byte        // with what is taken
	// answers is the status of each request by its number from 1, before all else; 0: as it would be, nil: always.
	answers func(request int) int
	mutex   sync.Mutex
	taken   map[int64]int
	sizes   []int // points of each request; -1: not to be decoded
}

func (p *prometheus) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the client left
	}
	if request.URL.Path != "/api/v1/otlp/v1/metrics" || request.Header.Get("Content-Type") != "application/x-protobuf" {
		p.t.Errorf("asked for %s with %s", request.URL, request.Header)
	}
	data, decoding := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(body)
	values := []int64{}
	if decoding == nil {
		values = numbers(data)
	}
	p.mutex.Lock()
	if decoding == nil {
		p.sizes = append(p.sizes, len(values))
	} else {
		p.sizes = append(p.sizes, -1)
	}
	asked := len(p.sizes)
	p.mutex.Unlock()
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-request.Context().Done():
			return
		}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	away := p.away
	if p.answers != nil {
		away = max(away, p.answers(asked))
	}
	if away != 0 {
		http.Error(answer, "away", away)
		return
	}
	if decoding != nil {
		http.Error(answer, decoding.Error(), http.StatusBadRequest)
		return
	}
	for _, value := range values {
		if p.bad[value] {
			http.Error(answer, "out of bounds", max(p.blame, p.other[value], http.StatusBadRequest))
			return
		}
	}
	for _, value := range values {
		p.taken[value]++
	}
	_, _ = answer.Write(p.says)
}

// arrived is how often each number arrived.
func (p *prometheus) arrived() map[int64]int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.taken
}

func (p *prometheus) requests() []int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return append([]int(nil), p.sizes...)
}

func (p *prometheus) becomes(status int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.away = status
}

func numbers(data pmetric.Metrics) (values []int64) {
	for _, resource := range data.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, m := range scope.Metrics().All() {
				for _, point := range m.Gauge().DataPoints().All() {
					values = append(values, point.IntValue())
				}
			}
		}
	}
	return values
}

// devices is a record of so many devices with so many points each, numbered from 0.
func devices(resources, points int) []byte {
	data := pmetric.NewMetrics()
	for device := range resources {
		resource := data.ResourceMetrics().AppendEmpty()
		resource.Resource().Attributes().PutStr("device_id", fmt.Sprint("dev-", device))
		m := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("device.connected")
		gauge := m.SetEmptyGauge()
		for point := range points {
			gauge.DataPoints().AppendEmpty().SetIntValue(int64(device*points + point))
		}
	}
	return value(data)
}

// numbered is a record of points with numbers from first on.
func numbered(first, points int) []byte {
	data := pmetric.NewMetrics()
	gauge := data.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge()
	for number := range points {
		gauge.DataPoints().AppendEmpty().SetIntValue(int64(first + number))
	}
	return value(data)
}

func value(data pmetric.Metrics) []byte {
	encoded, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(data)
	if err != nil {
		panic(err)
	}
	return encoded
}

// raw is a record as the Kafka receiver gives it.
func raw(value []byte) plog.Logs {
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetEmptyBytes().FromRaw(value)
	return logs
}

// running is an exporter in front of a server.
type running struct {
	exporter.Logs
	telemetry *componenttest.Telemetry
	lines     *observer.ObservedLogs
}

func started(t *testing.T, config Config, server *prometheus) *running {
	t.Helper()
	server.t = t
	if server.taken == nil {
		server.taken = map[int64]int{}
	}
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	with := defaultConfig().(*Config)
	with.ClientConfig.Endpoint = listening.URL + "/api/v1/otlp/v1/metrics"
	with.JoinedBytes, with.Linger = config.JoinedBytes, config.Linger
	with.MaxRequests, with.InFlight = max(config.MaxRequests, 2), max(config.InFlight, 1)
	if err := with.Validate(); err != nil {
		t.Fatal(err)
	}
	core, lines := observer.New(zapcore.DebugLevel)
	r := &running{telemetry: componenttest.NewTelemetry(), lines: lines}
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.TelemetrySettings = r.telemetry.NewTelemetrySettings()
	set.Logger = zap.New(core)
	made, err := newExporter(context.Background(), set, with)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	r.Logs = made
	t.Cleanup(func() {
		if err := made.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) consume(value []byte) error { return r.ConsumeLogs(context.Background(), raw(value)) }

func (r *running) sum(name string) int64 {
	metric, err := r.telemetry.GetMetric("otelcol_otlprecords_" + name)
	if err != nil {
		return 0
	}
	return metric.Data.(metricdata.Sum[int64]).DataPoints[0].Value
}

func (r *running) waiting() int {
	j := r.Logs.(*recordExporter).joiner
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return len(j.waiting)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in 30 s: " + what)
		}
	}
}

// together starts an exporter whose first requests are under way, and sends the other records after them from a goroutine
// each, so that they wait.
func together(t *testing.T, config Config, server *prometheus, values ...[]byte) (*running, []chan error) {
	t.Helper()
	r := started(t, config, server)
	var answers []chan error
	busy := max(config.InFlight, 1)
	for number, value := range values {
		answer := make(chan error, 1)
		answers = append(answers, answer)
		go func() { answer <- r.consume(value) }()
		if number < busy {
			eventually(t, "a request is under way", func() bool { return len(server.requests()) == number+1 })
		} else {
			eventually(t, "a record waits", func() bool { return r.waiting() == number+1-busy })
		}
	}
	return r, answers
}
