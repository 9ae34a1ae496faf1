// Package wire looks through a message of OTLP before it is decoded. What decoding would answer with memory, a small message
// that becomes a large one, is found by one pass over the bytes that needs no memory itself: nesting, attributes without
// end, empty messages by the hundred thousand.
package wire

import "errors"

// Signal names what a message carries.
type Signal uint8

// The kinds of requests.
const (
	Unknown Signal = iota
	Metrics
	Traces
	Logs
)

// Bounds of one message. Catalogues bound far below them; these bound what decoding it may cost.
const (
	MostDepth      = 64      // of a value in values
	MostAttributes = 1024    // in one place
	MostMessages   = 1 << 18 // in all, attributes and their values among them
)

// What a message is refused for, as it is counted.
var (
	ErrAttributes = errors.New("attributes: more than 1024 in one place")
	ErrMessages   = errors.New("items: the request consists of more than 262144 parts")
	ErrGroups     = errors.New("malformed: OTLP has no groups")
	ErrDepth      = errors.New("depth: braces are nested too deeply")
)

type kind uint8

const (
	scalar kind = iota
	metricsRequest
	tracesRequest
	logsRequest
	resourceMetrics
	resourceSpans
	resourceLogs
	resource
	scope
	scopeMetrics
	scopeSpans
	scopeLogs
	metric
	gauge
	histogram
	exponential
	summary
	number
	histogramPoint
	exponentialPoint
	summaryPoint
	exemplar
	span
	event
	link
	record
	attribute
	value
	array
	pairs
	leaf // a message that has none in it
	kinds
)

const fields = 17

// children of each kind of message, by field.
var children = [kinds][fields]kind{
	metricsRequest:   {1: resourceMetrics},
	tracesRequest:    {1: resourceSpans},
	logsRequest:      {1: resourceLogs},
	resourceMetrics:  {1: resource, 2: scopeMetrics},
	resourceSpans:    {1: resource, 2: scopeSpans},
	resourceLogs:     {1: resource, 2: scopeLogs},
	resource:         {1: attribute, 3: leaf},
	scope:            {3: attribute},
	scopeMetrics:     {1: scope, 2: metric},
	scopeSpans:       {1: scope, 2: span},
	scopeLogs:        {1: scope, 2: record},
	metric:           {5: gauge, 7: gauge, 9: histogram, 10: exponential, 11: summary, 12: attribute},
	gauge:            {1: number}, // sums as well
	histogram:        {1: histogramPoint},
	exponential:      {1: exponentialPoint},
	summary:          {1: summaryPoint},
	number:           {5: exemplar, 7: attribute},
	histogramPoint:   {8: exemplar, 9: attribute},
	exponentialPoint: {1: attribute, 8: leaf, 9: leaf, 11: exemplar},
	summaryPoint:     {6: leaf, 7: attribute},
	exemplar:         {7: attribute},
	span:             {9: attribute, 11: event, 13: link, 15: leaf},
	event:            {3: attribute},
	link:             {4: attribute},
	record:           {5: value, 6: attribute},
	attribute:        {2: value},
	value:            {5: array, 6: pairs},
	array:            {1: value},
	pairs:            {1: attribute},
}

var roots = [...]kind{Metrics: metricsRequest, Traces: tracesRequest, Logs: logsRequest}

const (
	varint = iota
	fixed64
	length
	startGroup
	endGroup
	fixed32

	bytesField = 7<<3 | length // of a value
)

// each level of a value is at most three messages: the value, the map, the pair.
const mostOpen = 3*MostDepth + 16

// Counts are what a message consists of.
type Counts struct {
	// Messages are its parts in all, attributes and their values among them.
	Messages int
	// Items are its data points, spans and log records.
	Items int
}

type open struct {
	end        int
	kind       kind
	depth      uint8
	attributes int
}

// Scan looks through a message. A value that is nested deeper than MostDepth is deep: with defuse, it becomes a value of
// bytes in place, by a bit of its tag, so that decoding it costs nothing and the gate still sees that it is too deep.
// A message that is cut off or misspelled is for the decoder to refuse: it stops where this does.
func Scan(of Signal, message []byte, defuse bool) (counts Counts, deep bool, err error) {
	var stack [mostOpen]open
	if of == Unknown || int(of) >= len(roots) {
		return Counts{}, false, nil
	}
	stack[0] = open{end: len(message), kind: roots[of]}
	top, at := 0, 0
	for {
		for at >= stack[top].end {
			if top == 0 {
				return counts, deep, nil
			}
			top--
		}
		within := &stack[top]
		start := at
		tag, next := read(message, at, within.end)
		if next < 0 {
			return counts, deep, nil
		}
		at = next
		field := int32(tag >> 3)
		switch tag & 7 {
		case varint:
			if _, at = read(message, at, within.end); at < 0 {
				return counts, deep, nil
			}
		case fixed64:
			at += 8
		case fixed32:
			at += 4
		case length:
			size, next := read(message, at, within.end)
			if next < 0 || size > uint64(within.end-next) {
				return counts, deep, nil
			}
			at = next + int(size)
			if field <= 0 || field >= fields {
				continue
			}
			child := children[within.kind][field]
			if child == scalar {
				continue
			}
			if counts.Messages++; counts.Messages > MostMessages {
				return counts, deep, ErrMessages
			}
			depth := within.depth
			switch child {
			case number, histogramPoint, exponentialPoint, summaryPoint, span, record:
				counts.Items++
			case attribute:
				if within.attributes++; within.attributes > MostAttributes {
					return counts, deep, ErrAttributes
				}
			case array, pairs:
				if depth++; depth > MostDepth {
					deep = true
					if !defuse {
						return counts, true, nil
					}
					message[start] = message[start]&0x80 | bytesField
					continue
				}
			case leaf:
				continue
			}
			top++
			stack[top] = open{end: at, kind: child, depth: depth}
			at = next
		case startGroup, endGroup:
			return counts, deep, ErrGroups
		default:
			return counts, deep, nil
		}
	}
}

// read reads a number before end; next is negative where there is none.
func read(message []byte, at, end int) (number uint64, next int) {
	for shift := uint(0); shift < 64; shift += 7 {
		if at >= end {
			return 0, -1
		}
		b := message[at]
		at++
		number |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return number, at
		}
	}
	return 0, -1
}

// most braces of JSON in each other: two for each message of a value, and those around it.
const mostBraces = 6*MostDepth + 64

// ScanJSON does the same for a message in JSON, which is refused where it is too deep.
func ScanJSON(message []byte) (messages int, err error) {
	depth, quoted := 0, false
	for index := 0; index < len(message); index++ {
		switch b := message[index]; {
		case quoted:
			if b == '\\' {
				index++
			} else if b == '"' {
				quoted = false
			}
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			if messages++; messages > MostMessages {
				return messages, ErrMessages
			}
			if depth++; depth > mostBraces {
				return messages, ErrDepth
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return messages, nil
}

// Repeats says whether a message is the field of this number, so and so many times, and nothing else: what is put behind
// it then is more of the same, as the two would be after decoding.
func Repeats(message []byte, field int32) bool {
	for at := 0; at < len(message); {
		tag, next := read(message, at, len(message))
		if next < 0 || tag != uint64(field)<<3|length {
			return false
		}
		size, next := read(message, next, len(message))
		if next < 0 || size > uint64(len(message)-next) {
			return false
		}
		at = next + int(size)
	}
	return true
}
