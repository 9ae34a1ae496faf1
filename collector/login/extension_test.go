package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func started(t *testing.T, edit func(*Config)) *login {
	t.Helper()
	return startedWith(t, extensiontest.NewNopSettings(component.MustNewType("login")).MeterProvider, edit)
}

func startedWith(t *testing.T, meters metric.MeterProvider, edit func(*Config)) *login {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	config := NewFactory().CreateDefaultConfig().(*Config)
	config.Htpasswd = filepath.Join(t.TempDir(), "clients.htpasswd")
	if err := os.WriteFile(config.Htpasswd, fmt.Appendf(nil, "device:%s\n\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	set := extension.Settings{TelemetrySettings: extensiontest.NewNopSettings(component.MustNewType("login")).TelemetrySettings}
	set.MeterProvider = meters
	made, err := newLogin(set, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	return made
}

func TestWhoSignsInIsKnownToProcessors(t *testing.T) {
	l := started(t, nil)
	for _, name := range []string{"authorization", "Authorization", "AUTHORIZATION"} {
		ctx, err := l.Authenticate(context.Background(), map[string][]string{name: {basic("device", "right")}})
		if err != nil {
			t.Fatal(err)
		}
		if user := client.FromContext(ctx).Auth.GetAttribute("username"); user != "device" {
			t.Errorf("user is %v", user)
		}
	}
}

func TestNobodyElseGetsIn(t *testing.T) {
	l := started(t, nil)
	for name, header := range map[string]string{
		"nothing": "", "another scheme": "Bearer x", "no base64": "Basic ***", "no colon": "Basic " + base64.StdEncoding.EncodeToString([]byte("device")),
		"an unknown user": basic("kafka", "right"), "a wrong password": basic("device", "wrong"), "an empty password": basic("device", ""),
		"another user's name in the password": basic("", "device\x00right"), "a giant header": "Basic " + strings.Repeat("A", 1<<20),
	} {
		for range 2 { // the second time by what is remembered
			if _, err := l.Authenticate(context.Background(), map[string][]string{"authorization": {header}}); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestARightPasswordIsComparedOnceUntilItsTimeIsOver(t *testing.T) {
	l := started(t, nil)
	now := time.Now()
	l.now = func() time.Time { return now }
	ask := func() error {
		_, _, err := l.check(context.Background(), basic("device", "right"))
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	l.checks <- struct{}{} // nobody can be compared any more
	l.waiting.Store(int64(l.config.Waiting))
	if err := ask(); err != nil {
		t.Errorf("a remembered password: %v", err)
	}
	now = now.Add(l.config.Remember + time.Second)
	if err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("one that is forgotten: %v", err)
	}
}

func TestManyWrongPasswordsKeepMemoryBoundedAndTheRightOneInUse(t *testing.T) {
	l := started(t, nil)
	if _, _, err := l.check(context.Background(), basic("device", "right")); err != nil {
		t.Fatal(err)
	}
	for index := range 2 * mostRemembered {
		l.remember(l.digest("device", fmt.Sprint(index)), wrong)
	}
	if size := len(l.verdicts); size > mostRemembered+1 {
		t.Errorf("%d verdicts are remembered", size)
	}
	if found, ok := l.remembered(l.digest("device", "right")); found != current || !ok {
		t.Error("the right password was forgotten")
	}
}

func TestAFileWithAMistakeIsNamed(t *testing.T) {
	l := started(t, nil)
	if err := os.WriteFile(l.config.Htpasswd, []byte("device:plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error is %v", err)
	}
}

func hashed(t *testing.T, password string) []byte {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestBothPasswordsOfAUserAreTakenAndTheFormerOneIsCounted(t *testing.T) {
	reader := sdk.NewManualReader()
	l := startedWith(t, sdk.NewMeterProvider(sdk.WithReader(reader)), func(c *Config) {
		lines := fmt.Appendf(nil, "device:%s\ndevice:%s\nstreaming:%s\n", hashed(t, "new"), hashed(t, "former"), hashed(t, "right"))
		if err := os.WriteFile(c.Htpasswd, lines, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	for _, attempt := range []struct {
		user, password string
		counted        int64
	}{{"device", "new", 0}, {"streaming", "right", 0}, {"device", "former", 1}, {"device", "former", 2}, {"device", "new", 2}} {
		ctx, err := l.Authenticate(context.Background(), map[string][]string{"authorization": {basic(attempt.user, attempt.password)}})
		if err != nil || user(ctx) != attempt.user {
			t.Errorf("%s with %s: %v, %v", attempt.user, attempt.password, user(ctx), err)
		}
		if got := gathered(t, reader)["otelcol_login_former_password_requests{device}"]; got != attempt.counted {
			t.Errorf("after %s with %s: %v are counted, want %v", attempt.user, attempt.password, got, attempt.counted)
		}
	}
	for _, header := range []string{basic("device", "right"), basic("streaming", "former"), basic("streaming", "new")} {
		if _, err := l.Authenticate(context.Background(), map[string][]string{"authorization": {header}}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("a password of another user: %v", err)
		}
	}
}

func TestAThirdPasswordOfAUserIsAMistake(t *testing.T) {
	l := started(t, nil)
	line := fmt.Appendf(nil, "device:%s\n", hashed(t, "right"))
	if err := os.WriteFile(l.config.Htpasswd, bytes.Repeat(line, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "line 3: user device has 2 passwords already") {
		t.Errorf("error is %v", err)
	}
}

type receiver struct {
	*pmetricotlp.UnimplementedGRPCServer
	received chan int
	hold     chan struct{}
}

func (r receiver) Export(_ context.Context, request pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	r.received <- request.Metrics().DataPointCount()
	<-r.hold
	return pmetricotlp.NewExportResponse(), nil
}

// served is a gRPC server behind the login, and a client for it.
func served(t *testing.T, l *login) (receiver, pmetricotlp.GRPCClient) {
	t.Helper()
	r, at := listening(t, l)
	connection, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return r, pmetricotlp.NewGRPCClient(connection)
}

// listening is a gRPC server behind the login, and its address.
func listening(t *testing.T, l *login) (receiver, string) {
	t.Helper()
	options, err := l.GetGRPCServerOptions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	r := receiver{UnimplementedGRPCServer: &pmetricotlp.UnimplementedGRPCServer{}, received: make(chan int, 100), hold: make(chan struct{})}
	pmetricotlp.RegisterGRPCServer(server, r)
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		done.Wait()
	})
	return r, listener.Addr().String()
}

func sendPoints(to pmetricotlp.GRPCClient, number int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	data := pmetric.NewMetrics()
	points := data.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints()
	for range number {
		points.AppendEmpty()
	}
	_, err := to.Export(metadata.AppendToOutgoingContext(ctx, "authorization", basic("device", "right")), pmetricotlp.NewExportRequestFromMetrics(data))
	return err
}

func send(to pmetricotlp.GRPCClient, header string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if header != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
	}
	_, err := to.Export(ctx, pmetricotlp.NewExportRequest())
	return err
}

func TestACallWithoutPasswordNeverReachesTheReceiver(t *testing.T) {
	r, to := served(t, started(t, nil))
	close(r.hold)
	for _, header := range []string{"", basic("device", "wrong")} {
		if err := send(to, header); status.Code(err) != codes.Unauthenticated {
			t.Errorf("answer is %v", err)
		}
	}
	if err := send(to, basic("device", "right")); err != nil {
		t.Fatal(err)
	}
	if got := len(r.received); got != 1 {
		t.Errorf("%d calls reached the receiver, want 1", got)
	}
}

func TestCallsBeyondTheBoundAreToldToComeAgain(t *testing.T) {
	l := started(t, func(c *Config) { c.MaxInFlight = 2 })
	r, to := served(t, l)
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- send(to, basic("device", "right")) }()
	}
	<-r.received
	<-r.received
	if err := send(to, basic("device", "right")); status.Code(err) != codes.Unavailable {
		t.Errorf("answer is %v", err)
	}
	close(r.hold)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for l.inFlight.Load() != 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if err := send(to, basic("device", "right")); err != nil {
		t.Errorf("after they ended: %v", err)
	}
}
