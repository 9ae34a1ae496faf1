package login

import (
	"bytes"
	"context"
	"reflect"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"

	"obs-platform/collector/wire"
)

// handshakeLimit is how long a connection may take until it speaks HTTP/2.
const handshakeLimit = 10 * time.Second

// GetGRPCServerOptions bounds connections, looks at each call's headers before its message is received, and counts calls and
// what they brought along until they end.
func (l *login) GetGRPCServerOptions(ctx context.Context) ([]grpc.ServerOption, error) {
	options := []grpc.ServerOption{
		grpc.InTapHandle(l.tap),
		grpc.StatsHandler(counting{l}),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto"), l}),
		grpc.ConnectionTimeout(handshakeLimit),
	}
	if l.config.TLS == nil {
		return options, nil
	}
	config, err := l.config.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	crowded := func() { _ = l.refuse(context.Background(), "connections", errFlooded) }
	return append(options, grpc.Creds(bounded{credentials.NewTLS(config), l.open, crowded})), nil
}

func (l *login) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	header := ""
	if values := info.Header.Get("authorization"); len(values) > 0 {
		header = values[0]
	}
	if _, err := l.check(ctx, header); err != nil {
		return nil, err
	}
	if l.inFlight.Load() >= l.config.MaxInFlight || l.decoded.Load() >= l.config.MaxInFlightBytes {
		return nil, l.refuse(ctx, "flooded", errFlooded)
	}
	return ctx, nil
}

// counting counts the calls in flight and what they hold.
type counting struct{ *login }

type weightKey struct{}

func (counting) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, weightKey{}, new(atomic.Int64))
}

func (c counting) HandleRPC(ctx context.Context, event stats.RPCStats) {
	switch event := event.(type) {
	case *stats.Begin:
		c.inFlight.Add(1)
	case *stats.InPayload:
		weight := c.takeWeight(event)
		c.decoded.Add(weight)
		ctx.Value(weightKey{}).(*atomic.Int64).Add(weight)
	case *stats.End:
		c.inFlight.Add(-1)
		c.decoded.Add(-ctx.Value(weightKey{}).(*atomic.Int64).Load())
	}
}

func (counting) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (counting) HandleConn(context.Context, stats.ConnStats)                       {}

// codec looks through a message of gRPC before it is decoded.
type codec struct {
	encoding.CodecV2
	login *login
}

func (c codec) Unmarshal(data mem.BufferSlice, into any) error {
	of := signalOf(into)
	if of == wire.Unknown {
		return c.CodecV2.Unmarshal(data, into)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	message := buffer
	messages, deep, err := wire.Scan(of, buffer.ReadOnlyData(), false)
	if deep { // rare: what is received may be shared, so a copy is changed
		raw := bytes.Clone(buffer.ReadOnlyData())
		message = mem.SliceBuffer(raw)
		messages, _, err = wire.Scan(of, raw, true)
	}
	if err != nil {
		c.login.refusedMessage(context.Background(), err)
		return err
	}
	if err := c.CodecV2.Unmarshal(mem.BufferSlice{message}, into); err != nil {
		return err
	}
	c.login.weights.Store(into, int64(buffer.Len()+messages*messageBytes))
	return nil
}

// takeWeight is what a message takes that was just decoded.
func (l *login) takeWeight(event *stats.InPayload) int64 {
	if weight, ok := l.weights.LoadAndDelete(event.Payload); ok {
		return weight.(int64)
	}
	return int64(event.Length)
}

// signalOf tells by the name of its type what a message carries.
func signalOf(message any) wire.Signal {
	kind := reflect.TypeOf(message)
	if kind == nil || kind.Kind() != reflect.Pointer {
		return wire.Unknown
	}
	switch kind.Elem().Name() {
	case "ExportMetricsServiceRequest":
		return wire.Metrics
	case "ExportTraceServiceRequest":
		return wire.Traces
	case "ExportLogsServiceRequest":
		return wire.Logs
	}
	return wire.Unknown
}
