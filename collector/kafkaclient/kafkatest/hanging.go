// Package kafkatest has what tests need of a cluster whose brokers stand still as those of a hung machine do.
package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"obs-platform/collector/kafkaclient"
)

// Lines are the connections of a cluster's brokers, in the order in which they were made.
type Lines struct {
	mutex sync.Mutex
	gates []chan struct{} // closed: traffic passes
}

type door struct {
	net.Listener
	owner  *Lines
	broker int
}

type line struct {
	net.Conn
	owner  *Lines
	broker int
}

// Listen is for kfake.ListenFn.
func (l *Lines) Listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	open := make(chan struct{})
	close(open)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.gates = append(l.gates, open)
	return &door{Listener: listener, owner: l, broker: len(l.gates) - 1}, err
}

// Accept takes a connection, as the kernel does for a program that stands still.
func (d *door) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &line{Conn: conn, owner: d.owner, broker: d.broker}, nil
}

// Read gives nothing while the broker stands still.
func (l *line) Read(into []byte) (int, error) {
	read, err := l.Conn.Read(into)
	l.owner.mutex.Lock()
	gate := l.owner.gates[l.broker]
	l.owner.mutex.Unlock()
	<-gate
	return read, err
}

// Freeze lets a broker stand still.
func (l *Lines) Freeze(broker int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.gates[broker] = make(chan struct{})
}

// Thaw lets it go on.
func (l *Lines) Thaw(broker int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	close(l.gates[broker])
}

// Shorten makes a test of what takes time a short one.
func Shorten(t testing.TB, dial, answer time.Duration) {
	t.Helper()
	dialBefore, answerBefore := kafkaclient.DialLimit, kafkaclient.AnswerLimit
	kafkaclient.DialLimit, kafkaclient.AnswerLimit = dial, answer
	t.Cleanup(func() { kafkaclient.DialLimit, kafkaclient.AnswerLimit = dialBefore, answerBefore })
}

// ServerTLS is a certificate for brokers on loopback, signed by itself.
func ServerTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}
