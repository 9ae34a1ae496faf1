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
		grpc.ChainUnaryInterceptor(l.charge),
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
	user, _, err := l.check(ctx, header)
	if err != nil {
		return nil, err
	}
	if share := l.shares.find(user, methods[info.FullMethodName]); share != nil {
		if refused := share.begins(l.now(), true); refused != nil {
			return nil, throttled(l.shares.refuse(ctx, share, refused))
		}
		ctx = context.WithValue(ctx, shareKey{}, share)
	}
	if l.inFlight.Load() >= l.config.MaxInFlight || l.decoded.Load() >= l.config.MaxInFlightBytes {
		return nil, l.refuse(ctx, "flooded", errFlooded)
	}
	return ctx, nil
}

// charge takes a call's size from its user's share before anything is done with it.
func (l *login) charge(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	call, ok := ctx.Value(callKey{}).(*call)
	if !ok || call.share == nil {
		return handle(ctx, request)
	}
	taken := call.size()
	if !call.share.memory.take(taken.weight) {
		return nil, throttled(l.shares.refuse(ctx, call.share, &refusal{"memory", shortestWait}))
	}
	defer call.share.memory.give(taken.weight)
	if refused := call.share.enter(l.now(), taken); refused != nil {
		return nil, throttled(l.shares.refuse(ctx, call.share, refused))
	}
	defer call.share.leave(taken)
	l.shares.count(ctx, call.share, taken)
	return handle(ctx, request)
}

// methods of gRPC that carry telemetry.
var methods = map[string]wire.Signal{
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": wire.Metrics,
	"/opentelemetry.proto.collector.trace.v1.TraceService/Export":     wire.Traces,
	"/opentelemetry.proto.collector.logs.v1.LogsService/Export":       wire.Logs,
}

// counting counts the calls in flight and what they hold.
type counting struct{ *login }

type (
	shareKey struct{} // -> *share, from the call's headers on
	callKey  struct{} // -> *call, from its beginning on
)

// call is one call of gRPC.
type call struct {
	share                *share
	weight, bytes, items atomic.Int64
}

func (c *call) add(of size) {
	c.weight.Add(of.weight)
	c.bytes.Add(of.bytes)
	c.items.Add(of.items)
}

func (c *call) size() size { return size{c.weight.Load(), c.bytes.Load(), c.items.Load()} }

func (counting) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	share, _ := ctx.Value(shareKey{}).(*share)
	return context.WithValue(ctx, callKey{}, &call{share: share})
}

func (c counting) HandleRPC(ctx context.Context, event stats.RPCStats) {
	call := ctx.Value(callKey{}).(*call)
	switch event := event.(type) {
	case *stats.Begin:
		c.inFlight.Add(1)
		if call.share != nil {
			call.share.calls.force(1)
		}
	case *stats.InPayload:
		taken := c.takeWeight(event)
		c.decoded.Add(taken.weight)
		call.add(taken)
	case *stats.End:
		c.inFlight.Add(-1)
		c.decoded.Add(-call.weight.Load())
		if call.share != nil {
			call.share.calls.give(1)
		}
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
	counts, deep, err := wire.Scan(of, buffer.ReadOnlyData(), false)
	if deep { // rare: what is received may be shared, so a copy is changed
		raw := bytes.Clone(buffer.ReadOnlyData())
		message = mem.SliceBuffer(raw)
		counts, _, err = wire.Scan(of, raw, true)
	}
	if err != nil {
		c.login.refusedMessage(context.Background(), err)
		return err
	}
	if err := c.CodecV2.Unmarshal(mem.BufferSlice{message}, into); err != nil {
		return err
	}
	c.login.weights.Store(into, sizeOf(buffer.Len(), counts))
	return nil
}

// takeWeight is what a message takes that was just decoded.
func (l *login) takeWeight(event *stats.InPayload) size {
	if taken, ok := l.weights.LoadAndDelete(event.Payload); ok {
		return taken.(size)
	}
	return size{weight: int64(event.Length), bytes: int64(event.Length)}
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
