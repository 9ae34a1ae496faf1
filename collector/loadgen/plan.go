package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

const (
	maxClients  = 64
	maxInFlight = 16
	maxSeconds  = 3600
	maxTimeout  = 120
)

// Plan says what is sent, where to, how fast and for how long.
//
// A slot is one batch of telemetry: one request for each part, spread over the time until the next slot. Slots are due
// at equal intervals, whatever became of those before (open loop), and are dealt out to the clients in turn.
type Plan struct {
	URL            string  `json:"url"`             // scheme, host and port; https, or http to loopback only
	Authority      string  `json:"authority"`       // PEM of the certificates to trust
	Clients        int     `json:"clients"`         // connections, kept alive
	InFlight       int     `json:"in_flight"`       // requests of one client at the same time
	Rate           float64 `json:"rate"`            // items per second over all clients
	Seconds        float64 `json:"seconds"`         // length of the load
	TimeoutSeconds float64 `json:"timeout_seconds"` // for one request
	LateSeconds    float64 `json:"late_seconds"`    // a slot that is later than this is left out, and counted
	Devices        int     `json:"devices"`         // devices over all clients; 0 where no part names one
	FirstSequence  int64   `json:"first_sequence"`
	Groups         int     `json:"groups"` // sets of random ids per slot; patches with the same group agree
	Parts          []Part  `json:"parts"`
}

// Part is the request of one login in every slot.
type Part struct {
	Path     string  `json:"path"`
	User     string  `json:"user"`
	Password string  `json:"password"`
	Items    int     `json:"items"` // points, spans or log records of one request
	Body     []byte  `json:"body"`
	Patches  []Patch `json:"patches"`
}

// Patch is one place of a body that is refreshed before each request.
type Patch struct {
	Kind       string `json:"kind"`
	Offset     int    `json:"offset"`
	Size       int    `json:"size,omitempty"`       // bytes of a text
	Group      int    `json:"group,omitempty"`      // see Plan.Groups; for devices: number of the device in the request
	Shift      int64  `json:"shift,omitempty"`      // nanoseconds to add to now
	Salt       uint64 `json:"salt,omitempty"`       // tells texts of the same group apart
	Population uint64 `json:"population,omitempty"` // number of different texts; 0: every one is new
}

// Kinds of patches. Numbers are eight bytes, little-endian, as protobuf's fixed64.
const (
	kindTime     = "time"            // now and Shift, nanoseconds since 1970
	kindInt      = "sequence_int"    // sequence number of the device
	kindDouble   = "sequence_double" // the same as a double
	kindTraceID  = "trace_id"        // 16 bytes
	kindSpanID   = "span_id"         // 8 bytes: those of the body, changed by the group
	kindHex      = "hex"             // Size hexadecimal digits
	kindDevice   = "device"          // a letter and Size-1 digits: the device's number
	kindName     = "name"            // the same for a device that is drawn by chance
	kindSequence = "sequence_text"   // Size digits of the sequence number
)

var sizes = map[string]int{kindTime: 8, kindInt: 8, kindDouble: 8, kindTraceID: 16, kindSpanID: 8}

func readPlan(in io.Reader) (*Plan, error) {
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	plan := &Plan{}
	if err := decoder.Decode(plan); err != nil {
		return nil, fmt.Errorf("the plan on standard input is not what it should be: %w", err)
	}
	if err := plan.check(); err != nil {
		return nil, fmt.Errorf("the plan on standard input: %w", err)
	}
	return plan, nil
}

func (p *Plan) check() error {
	target, err := url.Parse(p.URL)
	if err != nil || target.Host == "" || (target.Scheme != "https" && target.Scheme != "http") {
		return errors.New("url must be http://host:port or https://host:port")
	}
	ranges := []struct {
		name                  string
		value, lowest, higher float64
	}{
		{"clients", float64(p.Clients), 1, maxClients},
		{"in_flight", float64(p.InFlight), 1, maxInFlight},
		{"rate", p.Rate, 0.1, 10e6},
		{"seconds", p.Seconds, 0.1, maxSeconds},
		{"timeout_seconds", p.TimeoutSeconds, 0.1, maxTimeout},
		{"late_seconds", p.LateSeconds, 0.01, maxSeconds},
		{"devices", float64(p.Devices), 0, 1e6},
		{"groups", float64(p.Groups), 0, 1e6},
		{"parts", float64(len(p.Parts)), 1, 16},
	}
	for _, each := range ranges {
		// Written so that not-a-number fails too.
		if !(each.value >= each.lowest && each.value <= each.higher) {
			return fmt.Errorf("%s is %g, must be from %g to %g", each.name, each.value, each.lowest, each.higher)
		}
	}
	for number := range p.Parts {
		if err := p.checkPart(&p.Parts[number]); err != nil {
			return fmt.Errorf("part %d: %w", number, err)
		}
	}
	if named := p.devicesPerSlot(); named > 0 && p.Devices < named*p.lanes() {
		return fmt.Errorf("devices is %d, must be at least %d: %d for each request in flight", p.Devices, named*p.lanes(), named)
	}
	return nil
}

func (p *Plan) checkPart(part *Part) error {
	if part.Items < 1 || len(part.Body) == 0 {
		return errors.New("has no items or no body")
	}
	for _, patch := range part.Patches {
		size, fixed := sizes[patch.Kind]
		switch patch.Kind {
		case kindHex, kindDevice, kindName, kindSequence:
			size = patch.Size
		default:
			if !fixed {
				return fmt.Errorf("patch of unknown kind %q", patch.Kind)
			}
		}
		if (patch.Kind == kindDevice || patch.Kind == kindName) && size < 2 {
			return fmt.Errorf("patch %s at %d has size %d, must be at least 2", patch.Kind, patch.Offset, size)
		}
		if size < 1 || patch.Offset < 0 || patch.Offset > len(part.Body)-size {
			return fmt.Errorf("patch %s at %d does not fit into %d bytes", patch.Kind, patch.Offset, len(part.Body))
		}
		if patch.Group < 0 || (!patch.ofDevice() && patch.needsGroup() && patch.Group >= p.Groups) {
			return fmt.Errorf("patch %s at %d has group %d of %d", patch.Kind, patch.Offset, patch.Group, p.Groups)
		}
	}
	return nil
}

func (p *Patch) ofDevice() bool {
	return p.Kind == kindDevice || p.Kind == kindInt || p.Kind == kindDouble || p.Kind == kindSequence
}

func (p *Patch) needsGroup() bool {
	return p.Kind == kindTraceID || p.Kind == kindSpanID || p.Kind == kindHex || p.Kind == kindName
}

// lanes is the number of requests that may be in flight at the same time.
func (p *Plan) lanes() int { return p.Clients * p.InFlight }

// devicesPerSlot is the number of devices that the parts name.
func (p *Plan) devicesPerSlot() int {
	named := 0
	for _, part := range p.Parts {
		for _, patch := range part.Patches {
			if patch.ofDevice() {
				named = max(named, patch.Group+1)
			}
		}
	}
	return named
}

func (p *Plan) itemsPerSlot() int {
	items := 0
	for _, part := range p.Parts {
		items += part.Items
	}
	return items
}

// interval is the time between two slots.
func (p *Plan) interval() time.Duration {
	return time.Duration(float64(p.itemsPerSlot()) / p.Rate * float64(time.Second))
}

// after is when a part is due, counted from its slot.
func (p *Plan) after(part int) time.Duration {
	return p.interval() * time.Duration(part) / time.Duration(len(p.Parts))
}
