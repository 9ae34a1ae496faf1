package kafkabuckets

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/component/componenttest"
)

// deaf is a connection that hears nothing more, while it is told to: what was sent has arrived, its answer is lost.
type deaf struct {
	net.Conn
	lost *atomic.Bool
}

func (d deaf) Read(into []byte) (int, error) {
	n, err := d.Conn.Read(into)
	if d.lost.Load() {
		_ = d.Close()
		return 0, io.EOF
	}
	return n, err
}

// A record whose answer is lost may stand in the topic. When the client gives it up, the next record must not take its
// number: the broker would take it for the same one, confirm it, and not write it.
func TestNoRecordTakesTheNumberOfOneThatMayStandInTheTopic(t *testing.T) {
	cluster := kafka(t)
	var lost, refused atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if refused.Load() {
			return answer(request, kerr.NotEnoughReplicas.Code), nil, true
		}
		refused.Store(lost.Load()) // one is written, then too few replicas are in sync
		return nil, nil, false
	})
	config := configFor(cluster)
	config.TimeoutConfig.Timeout = time.Second
	e, err := newExporter(settings(nil), config, metricsOperations)
	if err != nil {
		t.Fatal(err)
	}
	e.options = []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return deaf{conn, &lost}, err
	})}
	if err := e.start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.shutdown(context.Background()) })
	write := func(number int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return e.write(ctx, devices(1, 1, number))
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	lost.Store(true)
	time.AfterFunc(500*time.Millisecond, func() { lost.Store(false) })
	if err := write(1); err == nil {
		t.Fatal("what was not confirmed is told as written")
	}
	if found := numbers(t, records(t, config)); found[1] != 1 {
		t.Fatalf("the record whose answer was lost stands %d times in the topic, not once", found[1])
	}
	time.Sleep(2 * config.deliveryTimeout()) // the client gives it up
	refused.Store(false)
	if err := write(2); err != nil {
		t.Fatal(err)
	}
	if found := numbers(t, records(t, config)); found[2] != 1 {
		t.Fatalf("a confirmed record stands %d times in the topic, not once", found[2])
	}
}
