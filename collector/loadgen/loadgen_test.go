package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// body: device number, time, sequence number, trace id, span id, text; in this order.
const (
	atDevice, atTime, atSequence, atDouble, atTrace, atSpan, atText = 0, 4, 12, 20, 28, 44, 52
	bodySize                                                        = 68
)

func template() []byte {
	body := bytes.Repeat([]byte{'.'}, bodySize)
	copy(body[atSpan:], "SPANSPAN")
	return body
}

func patches(group int) []Patch {
	return []Patch{
		{Kind: kindDevice, Offset: atDevice, Size: 4, Group: group},
		{Kind: kindTime, Offset: atTime, Shift: -5},
		{Kind: kindInt, Offset: atSequence, Group: group},
		{Kind: kindDouble, Offset: atDouble, Group: group},
		{Kind: kindTraceID, Offset: atTrace, Group: group},
		{Kind: kindSpanID, Offset: atSpan, Group: group},
		{Kind: kindHex, Offset: atText, Size: 16, Group: group, Salt: 7, Population: 3},
	}
}

func planFor(url, authority string) *Plan {
	return &Plan{
		URL: url, Authority: authority, Clients: 2, InFlight: 2, Rate: 200, Seconds: 1, TimeoutSeconds: 2,
		LateSeconds: 1, Devices: 8, FirstSequence: 100, Groups: 1,
		Parts: []Part{{
			Path: "/v1/metrics", User: "device", Password: "secret", Items: 2, Body: template(), Patches: patches(0),
		}},
	}
}

func server(t *testing.T, handle http.HandlerFunc) (string, string) {
	t.Helper()
	found := httptest.NewTLSServer(handle)
	t.Cleanup(found.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: found.Certificate().Raw})
	return found.URL, string(authority)
}

func mustLoad(t *testing.T, plan *Plan) *Result {
	t.Helper()
	if err := plan.check(); err != nil {
		t.Fatal(err)
	}
	result, err := load(context.Background(), plan, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestEveryDeviceCountsUpWithoutGapsAndRequestsCarryTheLogin(t *testing.T) {
	var mutex sync.Mutex
	sequences := map[string][]int64{}
	traces := map[string]bool{}
	url, authority := server(t, func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		user, password, _ := request.BasicAuth()
		mutex.Lock()
		defer mutex.Unlock()
		if user != "device" || password != "secret" || request.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("login %s, content type %s", user, request.Header.Get("Content-Type"))
		}
		if request.URL.Path != "/v1/metrics" || len(body) != bodySize {
			t.Errorf("%s with %d bytes", request.URL.Path, len(body))
			return
		}
		sequence := int64(binary.LittleEndian.Uint64(body[atSequence:]))
		if number := math.Float64frombits(binary.LittleEndian.Uint64(body[atDouble:])); number != float64(sequence) {
			t.Errorf("double %g beside sequence %d", number, sequence)
		}
		at := time.Unix(0, int64(binary.LittleEndian.Uint64(body[atTime:])))
		if age := time.Since(at); age < 0 || age > time.Minute {
			t.Errorf("a time that is %s old", age)
		}
		device := string(body[atDevice : atDevice+4])
		sequences[device] = append(sequences[device], sequence)
		traces[string(body[atTrace:atTrace+16])] = true
	})
	result := mustLoad(t, planFor(url, authority))
	// On a busy machine requests come too late to be sent; they are counted then.
	if result.Acknowledged != result.SentItems || result.SentItems+result.NotSentItems != 200 || result.SentItems == 0 {
		t.Fatalf("200 items are due in a second at 200/s: %+v", result)
	}
	if len(traces) != int(result.SentItems/2) {
		t.Errorf("%d different trace ids in %d requests", len(traces), result.SentItems/2)
	}
	if len(sequences) > 8 || result.NotSentItems == 0 && len(sequences) != 8 {
		t.Fatalf("%d devices of 8 sent", len(sequences))
	}
	for device, seen := range sequences {
		for index, sequence := range seen {
			if sequence != int64(100+index) {
				t.Errorf("device %s: sequence numbers %v", device, seen)
				break
			}
		}
	}
}

func TestAnswersTimeoutsAndRejectedItemsAreToldApart(t *testing.T) {
	var number counter
	end := make(chan struct{})
	defer close(end)
	url, authority := server(t, func(answer http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		switch number.Add(1) % 4 {
		case 0:
			answer.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			answer.WriteHeader(http.StatusTooManyRequests)
		case 2:
			_, _ = answer.Write([]byte{0x0a, 0x02, 0x08, 0x01}) // partial_success { rejected: 1 }
		case 3:
			<-end // not the end of the request: its answer could still be read when its time is just over
		}
	})
	plan := planFor(url, authority)
	plan.InFlight, plan.Rate, plan.TimeoutSeconds, plan.LateSeconds = 4, 16, 5, 5
	result := mustLoad(t, plan)
	sent := number.Load()
	if sent < 4 || result.Requests != sent || result.NotSentItems != 2*(8-sent) || result.Errors != 0 {
		t.Fatalf("%d of 8 requests arrived: %+v", sent, result)
	}
	if result.Timeouts != (sent+1)/4 {
		t.Errorf("every fourth of %d requests has no answer in time: %+v", sent, result)
	}
	refused := result.RefusedByStatus
	if refused["503"] != sent/4 || refused["429"] != (sent+3)/4 || len(refused) != 2 {
		t.Errorf("every fourth of %d requests has the answer 503, every fourth 429: %v", sent, refused)
	}
	if partly := (sent + 2) / 4; result.RejectedItems != partly || result.Acknowledged != partly || result.AcknowledgedOf[0] != partly {
		t.Errorf("one of two items was rejected in every fourth of %d requests: %+v", sent, result)
	}
}

func TestASlowServerMeetsAnOpenLoop(t *testing.T) {
	var most, now counter
	url, authority := server(t, func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(200 * time.Millisecond)
		now.Add(-1)
	})
	plan := planFor(url, authority)
	plan.Rate, plan.LateSeconds = 400, 0.3
	started := time.Now()
	result := mustLoad(t, plan)
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("a load of 1 s took %s", took)
	}
	if result.OfferedItems != 400 || result.NotSentItems == 0 || result.SentItems+result.NotSentItems != 400 {
		t.Errorf("what could not be sent is counted: %+v", result)
	}
	if most.Load() > 4 {
		t.Errorf("%d requests at the same time, 2 clients have at most 2 each", most.Load())
	}
	// Half of them, since a machine with other work makes single answers late.
	if result.LatencyMs["p50"] < result.ServiceMs["p50"]+100 {
		t.Errorf("latency counts from when a request was due: %v, service %v", result.LatencyMs, result.ServiceMs)
	}
}

func TestPartsOfASlotShareItsIds(t *testing.T) {
	var mutex sync.Mutex
	seen := map[string]map[string]int{}
	url, authority := server(t, func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		user, _, _ := request.BasicAuth()
		mutex.Lock()
		defer mutex.Unlock()
		key := string(body[atTrace:])
		if seen[key] == nil {
			seen[key] = map[string]int{}
		}
		seen[key][user]++
	})
	plan := planFor(url, authority)
	plan.Parts = append(plan.Parts, plan.Parts[0])
	plan.Parts[1].User = "business"
	result := mustLoad(t, plan)
	if len(seen) == 0 || result.Requests != int64(2*len(seen)) || result.NotSentItems != int64(4*(50-len(seen))) {
		t.Fatalf("%d requests in %d slots of 50: %+v", result.Requests, len(seen), result)
	}
	for _, users := range seen {
		if users["device"] != 1 || users["business"] != 1 {
			t.Errorf("a slot is one request of each login: %v", users)
		}
	}
}

func TestTheBodyKeepsItsSpanIdsApart(t *testing.T) {
	plan := planFor("https://127.0.0.1:1", "")
	made := newBodies(plan, 0, 1)
	made.refresh(0, time.Now())
	first := string(made.current[0][atSpan : atSpan+8])
	made.refresh(1, time.Now())
	second := string(made.current[0][atSpan : atSpan+8])
	if first == second || first == "SPANSPAN" || second == "SPANSPAN" {
		t.Errorf("span ids %x and %x", first, second)
	}
	if !bytes.Equal(plan.Parts[0].Body, template()) {
		t.Error("the plan's body must stay as it was")
	}
	for slot := range int64(50) {
		made.refresh(slot, time.Now())
		text := string(made.current[0][atText : atText+16])
		if strings.Trim(text, hexDigits) != "" {
			t.Fatalf("%q is not hexadecimal", text)
		}
	}
}

func TestNamesOfDevicesAreALetterAndDigits(t *testing.T) {
	for number, want := range map[uint64]string{0: "b0000", 9999: "b9999", 10000: "c0000", 31234: "e1234"} {
		place := make([]byte, 5)
		if putName(place, number); string(place) != want {
			t.Errorf("%d is %s, must be %s", number, place, want)
		}
	}
	plan := planFor("https://127.0.0.1:1", "")
	plan.Parts[0].Patches = []Patch{{Kind: kindName, Offset: 0, Size: 5, Population: 3}}
	made, seen := newBodies(plan, 0, 1), map[string]bool{}
	for slot := range int64(100) {
		made.refresh(slot, time.Now())
		seen[string(made.current[0][:5])] = true
	}
	if len(seen) != 3 || !seen["b0000"] || !seen["b0002"] {
		t.Errorf("names of a population of three: %v", seen)
	}
}

func TestOnlyOurOwnAddressesAreTargets(t *testing.T) {
	for address, good := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "10.1.2.3:1": true, "198.18.0.100:4318": true, "192.168.7.1:1": true,
		"8.8.8.8:443": false, "198.20.0.1:1": false, "[2001:db8::1]:1": false, "nonsense": false,
	} {
		if err := allowed(address, false); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	if allowed("10.1.2.3:1", true) == nil || allowed("127.0.0.1:1", true) != nil {
		t.Error("without TLS only loopback is a target")
	}
	plan := planFor("https://8.8.8.8:443", "")
	if _, err := load(context.Background(), plan, io.Discard); err == nil {
		t.Error("load to somebody else must be refused")
	}
}

func TestAnUntrustedServerIsNotSentTo(t *testing.T) {
	url, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
	_, other := server(t, func(http.ResponseWriter, *http.Request) {})
	// Both test servers have the same certificate; a certificate of another name is made by asking for another host.
	plan := planFor(strings.Replace(url, "127.0.0.1", "localhost", 1), other)
	if _, err := load(context.Background(), plan, io.Discard); err == nil || !strings.Contains(err.Error(), "no TLS with localhost") {
		t.Errorf("a certificate of another name: %v", err)
	}
}

func TestACancelledLoadEndsAtOnceWithItsFigures(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var number counter
	url, authority := server(t, func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
		if number.Add(1) == 20 {
			cancel()
		}
	})
	plan := planFor(url, authority)
	plan.Seconds = 300
	started := time.Now()
	result, err := load(ctx, plan, io.Discard)
	if err != nil || time.Since(started) > 30*time.Second || result.Acknowledged == 0 {
		t.Errorf("%v after %s: %+v", err, time.Since(started), result)
	}
}

func TestWrongPlansAreOneLine(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"clients is 65, must be from 1 to 64":         func(p *Plan) { p.Clients = 65 },
		"rate is NaN, must be from 0.1 to 1e+07":      func(p *Plan) { p.Rate = math.NaN() },
		"url must be":                                 func(p *Plan) { p.URL = "ftp://127.0.0.1" },
		"devices is 3, must be at least 4":            func(p *Plan) { p.Devices = 3 },
		"part 0: has no items or no body":             func(p *Plan) { p.Parts[0].Body = nil },
		"part 0: patch time at 64 does not fit":       func(p *Plan) { p.Parts[0].Patches[1].Offset = 64 },
		"part 0: patch device at 0 has size 1":        func(p *Plan) { p.Parts[0].Patches[0].Size = 1 },
		"part 0: patch hex at 52 does not fit":        func(p *Plan) { p.Parts[0].Patches[6].Size = 17 },
		"part 0: patch trace_id at 28 has group 0":    func(p *Plan) { p.Groups = 0 },
		`part 0: patch of unknown kind "mystery"`:     func(p *Plan) { p.Parts[0].Patches[0].Kind = "mystery" },
		"part 0: patch device at -1 does not fit":     func(p *Plan) { p.Parts[0].Patches[0].Offset = -1 },
		"parts is 0, must be from 1 to 16":            func(p *Plan) { p.Parts = nil },
		"timeout_seconds is 0, must be from 0.1 to 1": func(p *Plan) { p.TimeoutSeconds = 0 },
	} {
		plan := planFor("https://127.0.0.1:1", "")
		change(plan)
		if err := plan.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for _, text := range []string{"", "{", `{"unknown": 1}`, "[]", `{"clients": "two"}`} {
		if _, err := readPlan(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheProgramReadsAPlanAndPrintsAResult(t *testing.T) {
	url, authority := server(t, func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
	})
	plan := planFor(url, authority)
	plan.Seconds = 2.5
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(bytes.NewReader(text), &out, &progress); err != nil {
		t.Fatal(err)
	}
	var result Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.Acknowledged == 0 || result.Acknowledged+result.NotSentItems != 500 {
		t.Errorf("%v: %s", err, out.String())
	}
	var line struct{ Elapsed, Sent, Acknowledged float64 }
	if err := json.Unmarshal(progress.Bytes(), &line); err != nil || line.Elapsed < 1.9 || line.Sent == 0 {
		t.Errorf("progress every two seconds: %v: %s", err, progress.String())
	}
	if strings.Contains(out.String()+progress.String(), "secret") {
		t.Error("a password was printed")
	}
}

func TestQuantilesAreWithinTwoPercent(t *testing.T) {
	var times histogram
	for value := 1; value <= 1000; value++ {
		times.add(time.Duration(value) * time.Millisecond)
	}
	found := times.quantiles()
	for name, want := range map[string]float64{"p50": 500, "p90": 900, "p99": 990, "max": 1000} {
		if math.Abs(found[name]-want) > 0.021*want {
			t.Errorf("%s is %g, must be %g", name, found[name], want)
		}
	}
	times.add(time.Hour)
	times.add(0)
	if got := times.quantiles()["max"]; got != 3.6e6 {
		t.Errorf("max is %g", got)
	}
	if found := (&histogram{}).quantiles(); len(found) != 0 {
		t.Errorf("nothing has no quantiles: %v", found)
	}
}

func FuzzRejectedItemsNeverPanics(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x08, 0x01})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if rejectedItems(answer) < 0 {
			t.Error("fewer than none")
		}
	})
}

// BenchmarkSending costs what a request of 1,000 points costs the generator: the figure is CPU seconds per million.
func BenchmarkSending(b *testing.B) {
	const points, pointBytes = 1000, 190
	body := bytes.Repeat([]byte{'.'}, points*pointBytes)
	part := Part{Path: "/", Items: points, Body: body}
	for point := range points {
		part.Patches = append(part.Patches, Patch{Kind: kindTime, Offset: point * pointBytes})
		if point%10 == 0 {
			part.Patches = append(part.Patches,
				Patch{Kind: kindDevice, Offset: point*pointBytes + 8, Size: 4, Group: point / 10},
				Patch{Kind: kindDouble, Offset: point*pointBytes + 12, Group: point / 10})
		}
	}
	plan := &Plan{Clients: 1, InFlight: 1, Devices: 400, Parts: []Part{part}}
	made := newBodies(plan, 0, 1)
	before := cpuSeconds()
	b.ResetTimer()
	for slot := range b.N {
		made.refresh(int64(slot), time.Now())
	}
	b.ReportMetric((cpuSeconds()-before)/float64(b.N*points)*1e6, "CPU-s/Mpoints")
}

func TestNoTwoLanesShareADevice(t *testing.T) {
	plan := planFor("https://127.0.0.1:1", "")
	seen := map[string]int{}
	for lane := range plan.lanes() {
		made := newBodies(plan, lane, 1)
		own := map[int]bool{}
		for slot := range int64(20) {
			device, _ := made.device(0, slot)
			own[device] = true
		}
		for device := range own {
			seen[fmt.Sprint(device)]++
		}
	}
	for device, lanes := range seen {
		if lanes != 1 {
			t.Errorf("device %s is sent by %d lanes", device, lanes)
		}
	}
	if len(seen) != plan.Devices {
		t.Errorf("%d of %d devices are sent", len(seen), plan.Devices)
	}
}
