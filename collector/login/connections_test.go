package login

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// certificate writes a certificate and its key for a test's server.
func certificate(t *testing.T) *configtls.ServerConfig {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := configtls.NewDefaultServerConfig()
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: signed}, "tls.key": {Type: "PRIVATE KEY", Bytes: private}} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "tls.crt" {
			config.CertFile = path
		} else {
			config.KeyFile = path
		}
	}
	return &config
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

var unverified = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}

// dialled opens a connection from an address of the loopback network; nil if the server closes it before its handshake.
func dialled(t *testing.T, from, to string) *tls.Conn {
	t.Helper()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 30 * time.Second}, Config: unverified}
	connection, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		return nil
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection.(*tls.Conn)
}

func TestConnectionsAreBoundedInAllAndByAddressBeforeTheirHandshake(t *testing.T) {
	reader := sdk.NewManualReader()
	l := startedWith(t, sdk.NewMeterProvider(sdk.WithReader(reader)), func(c *Config) {
		c.MaxConnections, c.MaxConnectionsPerAddress, c.TLS = 3, 2, certificate(t)
	})
	_, at := listening(t, l)
	first, second := dialled(t, "127.0.0.1", at), dialled(t, "127.0.0.1", at)
	if first == nil || second == nil {
		t.Fatal("two connections of one address are refused")
	}
	if dialled(t, "127.0.0.1", at) != nil {
		t.Error("an address has more than its share")
	}
	third := dialled(t, "127.0.0.2", at)
	if third == nil {
		t.Fatal("another address suffers")
	}
	if dialled(t, "127.0.0.3", at) != nil {
		t.Error("there are more than allowed in all")
	}
	if open := l.open.count(); open != 3 {
		t.Errorf("%d are open", open)
	}
	_ = first.Close()
	eventually(t, "a place is free again", func() bool { return l.open.count() == 2 })
	if dialled(t, "127.0.0.3", at) == nil {
		t.Error("the place that is free is refused")
	}
	counted := gathered(t, reader)
	if counted["otelcol_login_refused_requests{connections}"] != 2 || counted["otelcol_login_connections{open}"] != 3 ||
		counted["otelcol_login_connections{allowed}"] != 3 {
		t.Errorf("counted is %v", counted)
	}
}

func TestWhatNeverFinishesItsHandshakeGivesItsPlaceBack(t *testing.T) {
	l := started(t, func(c *Config) { c.MaxConnections, c.MaxConnectionsPerAddress, c.TLS = 1, 1, certificate(t) })
	_, at := listening(t, l)
	for _, says := range []string{"", "GET / HTTP/1.1\r\n\r\n"} {
		raw, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if says == "" {
			eventually(t, "it counts while it is silent", func() bool { return l.open.count() == 1 })
			if dialled(t, "127.0.0.1", at) != nil {
				t.Error("a silent connection takes no place")
			}
			_ = raw.Close()
		} else {
			if _, err := raw.Write([]byte(says)); err != nil {
				t.Fatal(err)
			}
			// Until it is closed it may not even have been accepted, and counts nowhere.
			_ = raw.SetReadDeadline(time.Now().Add(handshakeLimit))
			_, _ = io.Copy(io.Discard, raw)
		}
		eventually(t, "its place is free", func() bool { return l.open.count() == 0 })
		_ = raw.Close()
	}
	r, to := called(t, l)
	close(r.hold)
	if err := send(to, basic("device", "right")); err != nil {
		t.Errorf("who comes afterwards: %v", err)
	}
}

func TestAnAddressIsCountedAsOneWhoeverWritesIt(t *testing.T) {
	for written, want := range map[string]string{
		"192.0.2.7:4317": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:9": "2001:db8:1:2::",
		"[fe80::1%eth0]:9": "fe80::", "@": "invalid IP",
	} {
		if got := addressOf(peer(written)).String(); got != want {
			t.Errorf("%s: %s, want %s", written, got, want)
		}
	}
}

type peer string

func (peer) Network() string  { return "tcp" }
func (w peer) String() string { return string(w) }

func TestBoundsThatDoNotFitEachOtherAreRefused(t *testing.T) {
	config := NewFactory().CreateDefaultConfig().(*Config)
	config.Htpasswd = "x"
	for _, bounds := range [][2]int{{0, 0}, {10, 11}, {10, 0}} {
		config.MaxConnections, config.MaxConnectionsPerAddress = bounds[0], bounds[1]
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "max_connections_per_address") {
			t.Errorf("%v: %v", bounds, err)
		}
	}
}

func TestCallsAreToldToComeAgainWhileOthersHoldTooManyBytes(t *testing.T) {
	l := started(t, func(c *Config) { c.MaxInFlightBytes = 1 })
	r, to := served(t, l)
	first := make(chan error, 1)
	go func() { first <- sendPoints(to, 100) }()
	<-r.received
	if err := sendPoints(to, 1); err == nil || !strings.Contains(err.Error(), "too many calls") {
		t.Errorf("answer is %v", err)
	}
	if held := l.decoded.Load(); held < 100*messageBytes {
		t.Errorf("100 points count as %d bytes", held)
	}
	close(r.hold)
	if err := <-first; err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is held", func() bool { return l.decoded.Load() == 0 })
	if err := sendPoints(to, 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// called is a client that speaks TLS.
func called(t *testing.T, l *login) (receiver, pmetricotlp.GRPCClient) {
	t.Helper()
	r, at := listening(t, l)
	connection, err := grpc.NewClient(at, grpc.WithTransportCredentials(credentials.NewTLS(unverified)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return r, pmetricotlp.NewGRPCClient(connection)
}

// gathered is each metric's sum by the value of its only attribute.
func gathered(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	add := func(name string, points []metricdata.DataPoint[int64]) {
		for _, point := range points {
			value := point.Attributes.ToSlice()[0].Value
			sums[name+"{"+value.AsString()+"}"] += point.Value
		}
	}
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Sum[int64]:
				add(metric.Name, data.DataPoints)
			case metricdata.Gauge[int64]:
				add(metric.Name, data.DataPoints)
			}
		}
	}
	return sums
}
