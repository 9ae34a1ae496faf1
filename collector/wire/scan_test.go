package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

func nested(value pcommon.Value, depth int, maps bool) {
	for range depth {
		if maps {
			value = value.SetEmptyMap().PutEmpty("k")
		} else {
			value = value.SetEmptySlice().AppendEmpty()
		}
	}
	value.SetStr("x")
}

func depthOf(value pcommon.Value) int {
	depth := 0
	for {
		switch value.Type() {
		case pcommon.ValueTypeMap:
			value, _ = value.Map().Get("k")
		case pcommon.ValueTypeSlice:
			value = value.Slice().At(0)
		default:
			return depth
		}
		depth++
	}
}

func logs(edit func(plog.LogRecord)) []byte {
	data := plog.NewLogs()
	resource := data.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "recorder")
	edit(resource.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty())
	raw, err := plogotlp.NewExportRequestFromLogs(data).MarshalProto()
	if err != nil {
		panic(err)
	}
	return raw
}

func decoded(t *testing.T, raw []byte) plog.LogRecord {
	t.Helper()
	request := plogotlp.NewExportRequest()
	if err := request.UnmarshalProto(raw); err != nil {
		t.Fatal(err)
	}
	return request.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
}

func TestWhatIsNestedTooDeeplyBecomesBytesAndTheRestStays(t *testing.T) {
	for _, maps := range []bool{false, true} {
		for _, depth := range []int{0, 1, MostDepth, MostDepth + 1, 5000} {
			raw := logs(func(r plog.LogRecord) {
				nested(r.Body(), depth, maps)
				nested(r.Attributes().PutEmpty("deep"), depth, maps)
				r.Attributes().PutStr("after", "kept")
			})
			before := bytes.Clone(raw)
			_, deep, err := Scan(Logs, raw, false)
			if err != nil || deep != (depth > MostDepth) || !bytes.Equal(raw, before) {
				t.Fatalf("depth %d: deep %v, %v", depth, deep, err)
			}
			if _, deep, err = Scan(Logs, raw, true); err != nil || deep != (depth > MostDepth) {
				t.Fatalf("depth %d: deep %v, %v", depth, deep, err)
			}
			record := decoded(t, raw)
			attribute, _ := record.Attributes().Get("deep")
			if after, ok := record.Attributes().Get("after"); !ok || after.Str() != "kept" {
				t.Error("what follows is lost")
			}
			for _, value := range []pcommon.Value{record.Body(), attribute} {
				if got := depthOf(value); got != min(depth, MostDepth) {
					t.Errorf("depth %d became %d", depth, got)
				}
			}
			if _, deep, _ = Scan(Logs, raw, false); deep {
				t.Error("still deep")
			}
		}
	}
}

func TestATagOfManyBytesHidesNothing(t *testing.T) {
	inner := []byte{0x0a, 1, 'x'}
	for range MostDepth + 10 {
		list := append([]byte{0x0a | 0x80, 0x00, byte(len(inner)&0x7f | 0x80), byte(len(inner) >> 7)}, inner...)
		inner = append([]byte{0x2a | 0x80, 0x80, 0x00, byte(len(list)&0x7f | 0x80), byte(len(list) >> 7)}, list...)
	}
	wrap := func(tag byte, content []byte) []byte {
		return append([]byte{tag, byte(len(content)&0x7f | 0x80), byte(len(content) >> 7)}, content...)
	}
	raw := wrap(0x0a, wrap(0x12, wrap(0x12, wrap(0x2a, inner))))
	if _, deep, err := Scan(Logs, raw, true); !deep || err != nil {
		t.Fatal(deep, err)
	}
	if got := depthOf(decoded(t, raw).Body()); got != MostDepth {
		t.Errorf("depth %d", got)
	}
}

func TestTooManyAttributesInOnePlaceAreRefused(t *testing.T) {
	for count, want := range map[int]error{MostAttributes: nil, MostAttributes + 1: ErrAttributes} {
		body := bytes.Repeat([]byte{0x32, 0}, count)
		if _, _, err := Scan(Logs, enclosed(body, 0x12, 0x12, 0x0a), false); !errors.Is(err, want) {
			t.Errorf("%d in a record: %v", count, err)
		}
		body = bytes.Repeat([]byte{0x0a, 0}, count)
		if _, _, err := Scan(Metrics, enclosed(body, 0x0a, 0x0a), false); !errors.Is(err, want) {
			t.Errorf("%d in a resource: %v", count, err)
		}
		body = bytes.Repeat([]byte{0x4a, 0}, count)
		if _, _, err := Scan(Traces, enclosed(body, 0x12, 0x12, 0x0a), false); !errors.Is(err, want) {
			t.Errorf("%d in a span: %v", count, err)
		}
	}
}

// enclosed puts content into messages, from the inside out.
func enclosed(content []byte, tags ...byte) []byte {
	for _, tag := range tags {
		size := []byte{}
		for left := len(content); ; left >>= 7 {
			if left < 0x80 {
				size = append(size, byte(left))
				break
			}
			size = append(size, byte(left)|0x80)
		}
		content = append(append([]byte{tag}, size...), content...)
	}
	return content
}

func TestEmptyMessagesWithoutEndAreRefused(t *testing.T) {
	for name, raw := range map[string][]byte{
		"resources": bytes.Repeat([]byte{0x0a, 0}, MostMessages+1),
		"scopes":    enclosed(bytes.Repeat([]byte{0x12, 0}, MostMessages+1), 0x0a),
		"items":     enclosed(bytes.Repeat([]byte{0x12, 0}, MostMessages+1), 0x12, 0x0a),
	} {
		for _, signal := range []Signal{Metrics, Traces, Logs} {
			if counts, _, err := Scan(signal, raw, false); !errors.Is(err, ErrMessages) {
				t.Errorf("%s: %d messages, %v", name, counts.Messages, err)
			}
		}
	}
	points := enclosed(bytes.Repeat([]byte{0x0a, 0}, MostMessages+1), 0x2a, 0x12, 0x12, 0x0a)
	if _, _, err := Scan(Metrics, points, false); !errors.Is(err, ErrMessages) {
		t.Error("points", err)
	}
}

func TestGroupsAreRefused(t *testing.T) {
	for _, tag := range []byte{0x7b, 0x7c} {
		if _, _, err := Scan(Logs, []byte{tag, 0x0a, 0}, false); !errors.Is(err, ErrGroups) {
			t.Errorf("%x: %v", tag, err)
		}
	}
}

func TestJSONIsBoundedTheSameWay(t *testing.T) {
	deep := strings.Repeat(`{"arrayValue":{"values":[`, 1000) + `{}` + strings.Repeat(`]}}`, 1000)
	if _, err := ScanJSON([]byte(deep)); !errors.Is(err, ErrDepth) {
		t.Error(err)
	}
	if _, err := ScanJSON([]byte("[" + strings.Repeat("{},", MostMessages) + "{}]")); !errors.Is(err, ErrMessages) {
		t.Error(err)
	}
	quoted := `{"a":"` + strings.Repeat(`[{\"\\`, 5000) + `"}`
	if messages, err := ScanJSON([]byte(quoted)); err != nil || messages != 1 {
		t.Error(messages, err)
	}
}

// real is a request as libraries send them.
func real() map[Signal][]byte {
	points := pmetric.NewMetrics()
	m := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetEmptyGauge()
	for range 1000 {
		point := m.Gauge().DataPoints().AppendEmpty()
		point.Attributes().PutStr("http.request.method", "GET")
		point.Exemplars().AppendEmpty().FilteredAttributes().PutInt("n", 1)
	}
	spans := ptrace.NewTraces()
	span := spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.Attributes().PutEmptySlice("list").AppendEmpty().SetInt(1)
	span.Events().AppendEmpty().Attributes().PutStr("exception.message", "x")
	span.Links().AppendEmpty().Attributes().PutBool("b", true)
	metrics, _ := pmetricotlp.NewExportRequestFromMetrics(points).MarshalProto()
	traces, _ := ptraceotlp.NewExportRequestFromTraces(spans).MarshalProto()
	records := logs(func(r plog.LogRecord) { nested(r.Body(), 3, true) })
	return map[Signal][]byte{Metrics: metrics, Traces: traces, Logs: records}
}

func TestWhatLibrariesSendPassesAsItIs(t *testing.T) {
	for signal, raw := range real() {
		before := bytes.Clone(raw)
		counts, deep, err := Scan(signal, raw, true)
		if err != nil || deep || counts.Messages == 0 || !bytes.Equal(before, raw) {
			t.Errorf("%d: %d messages, deep %v, %v", signal, counts.Messages, deep, err)
		}
		if want := map[Signal]int{Metrics: 1000, Traces: 1, Logs: 1}[signal]; counts.Items != want {
			t.Errorf("%d: %d items, want %d", signal, counts.Items, want)
		}
	}
}

func TestPointsOfEveryKindOfMetricAreItems(t *testing.T) {
	points := pmetric.NewMetrics()
	metrics := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	metrics.AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty()
	metrics.AppendEmpty().SetEmptySum().DataPoints().AppendEmpty()
	metrics.AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty().Exemplars().AppendEmpty()
	metrics.AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	metrics.AppendEmpty().SetEmptySummary().DataPoints().AppendEmpty().QuantileValues().AppendEmpty()
	raw, err := pmetricotlp.NewExportRequestFromMetrics(points).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if counts, _, err := Scan(Metrics, raw, false); err != nil || counts.Items != 5 {
		t.Errorf("%d items, %v", counts.Items, err)
	}
}

// FuzzScan shows that whatever passes decodes within bounds, and that nothing makes the scan fail.
func FuzzScan(f *testing.F) {
	for signal, raw := range real() {
		f.Add(uint8(signal), raw)
	}
	f.Fuzz(func(t *testing.T, signal uint8, raw []byte) {
		of := Signal(signal%3) + Metrics
		if _, _, err := Scan(of, raw, true); err != nil {
			return
		}
		if _, deep, _ := Scan(of, raw, false); deep {
			t.Fatal("still deep")
		}
		if of != Logs {
			return
		}
		request := plogotlp.NewExportRequest()
		if request.UnmarshalProto(raw) != nil {
			return
		}
		for _, resource := range request.Logs().ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					if bounded(record.Body()) > MostDepth {
						t.Fatal("deeper than it may be")
					}
				}
			}
		}
	})
}

func bounded(value pcommon.Value) (deepest int) {
	switch value.Type() {
	case pcommon.ValueTypeMap:
		for _, inner := range value.Map().All() {
			deepest = max(deepest, bounded(inner))
		}
		return deepest + 1
	case pcommon.ValueTypeSlice:
		for _, inner := range value.Slice().All() {
			deepest = max(deepest, bounded(inner))
		}
		return deepest + 1
	}
	return 0
}

func BenchmarkScan(b *testing.B) {
	raw := real()[Metrics]
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, _, err := Scan(Metrics, raw, true); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRepeatsSaysWhatMayStandBeforeAnother(t *testing.T) {
	for message, want := range map[string]bool{
		"":                         true,
		"\x0a\x00":                 true,
		"\x0a\x02ab\x0a\x01c":      true,
		"\x0a\x02ab\x0a":           false, // cut off in a tag
		"\x0a\x02ab\x0a\x05c":      false, // cut off in a value
		"\x12\x02ab":               false, // another field
		"\x08\x01":                 false, // another kind of value
		"\x0a\xff\xff\xff\xff\xff": false, // a size without end
	} {
		if Repeats([]byte(message), 1) != want {
			t.Errorf("%q: want %t", message, want)
		}
	}
}
