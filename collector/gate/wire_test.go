package gate

import (
	"encoding/binary"
	"runtime/debug"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
)

func field(number int, content []byte) []byte {
	made := append([]byte{byte(number<<3 | 2)}, binary.AppendUvarint(nil, uint64(len(content)))...)
	return append(made, content...)
}

// deepBody is an encoded request of one log record whose body is nested as deeply as fits into a number of bytes.
func deepBody(size int) ([]byte, int) {
	// The lengths grow inwards out, so the levels are written from the end of a buffer.
	buffer := make([]byte, size)
	at, levels := size, 0
	put := func(content byte) {
		length := binary.AppendUvarint(nil, uint64(size-at))
		at -= len(length)
		copy(buffer[at:], length)
		at--
		buffer[at] = content
	}
	for at > 64 {
		put(1<<3 | 2) // ArrayValue.values
		put(5<<3 | 2) // AnyValue.array_value
		levels++
	}
	put(5<<3 | 2) // LogRecord.body
	record := field(2, buffer[at:])
	return field(1, append(field(1, nil), field(2, record)...)), levels
}

// A request of the largest size that the gateway takes, one value in the other, is decoded and refused in bounded memory.
func TestTheDeepestBodyThatFitsIntoARequestIsRefused(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(512 << 20))
	encoded, levels := deepBody(2 << 20)
	began := time.Now()
	data, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(encoded)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d levels in %d bytes were decoded in %s", levels, len(encoded), time.Since(began))
	put(data.ResourceLogs().At(0).Resource().Attributes(), apiResource)
	data.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).SetTimestamp(now())
	g := newGate(t, logsSignal)
	_, err = g.logs(as("business"), data)
	refusedFor(t, g, err, "business", depthRefused)
}
