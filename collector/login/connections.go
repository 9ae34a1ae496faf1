package login

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/credentials"
)

var errCrowded = errors.New("too many connections")

// addressBits of an IPv6 address count as one address: who has one of them usually has them all.
const addressBits = 64

// connections counts what is open, in all and by the address of the peer.
type connections struct {
	most, mostOfAddress int
	mutex               sync.Mutex
	open                int
	byAddress           map[netip.Addr]int
}

func newConnections(most, mostOfAddress int) *connections {
	return &connections{most: most, mostOfAddress: mostOfAddress, byAddress: map[netip.Addr]int{}}
}

func (c *connections) count() int64 {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return int64(c.open)
}

func (c *connections) enter(address netip.Addr) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.open >= c.most || c.byAddress[address] >= c.mostOfAddress {
		return false
	}
	c.open++
	c.byAddress[address]++
	return true
}

func (c *connections) leave(address netip.Addr) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.open--
	if c.byAddress[address]--; c.byAddress[address] == 0 {
		delete(c.byAddress, address)
	}
}

// addressOf is the peer's address without its port; what has none counts as one peer.
func addressOf(peer net.Addr) netip.Addr {
	port, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return netip.Addr{}
	}
	address := port.Addr().Unmap().WithZone("")
	if address.Is6() {
		prefix, _ := address.Prefix(addressBits)
		return prefix.Addr()
	}
	return address
}

// bounded are the credentials of a server that closes what is too much before its handshake, which is what costs.
type bounded struct {
	credentials.TransportCredentials
	*connections
	crowded func()
}

func (b bounded) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	address := addressOf(raw.RemoteAddr())
	if !b.enter(address) {
		b.crowded()
		return nil, nil, errCrowded
	}
	secure, info, err := b.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		b.leave(address)
		return nil, nil, err
	}
	return &counted{Conn: secure, leave: sync.OnceFunc(func() { b.leave(address) })}, info, nil
}

func (b bounded) Clone() credentials.TransportCredentials {
	return bounded{b.TransportCredentials.Clone(), b.connections, b.crowded}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

var kindOpen, kindAllowed = attribute.String("kind", "open"), attribute.String("kind", "allowed")

// observeConnections reports what is open to the collector's own metrics.
func observeConnections(meter metric.Meter, c *connections) error {
	_, err := meter.Int64ObservableGauge("otelcol_login_connections",
		metric.WithDescription("Connections of the gRPC port, by whether they are open or allowed."), metric.WithUnit("{connections}"),
		metric.WithInt64Callback(func(_ context.Context, observer metric.Int64Observer) error {
			observer.Observe(c.count(), metric.WithAttributes(kindOpen))
			observer.Observe(int64(c.most), metric.WithAttributes(kindAllowed))
			return nil
		}))
	return err
}
