// Package login is an extension that checks passwords before anything of a request is read or decoded, over gRPC too, and
// remembers right ones, so that the slow hash of the password file is computed once and not for each request. A user may have
// two passwords while a new one is handed out; requests that still come with the former one are counted.
//
// As an authenticator it takes the place of basicauth; as a middleware of a gRPC server it looks at the headers of a call
// before the call's message is received. As a middleware of both servers it looks through a message before it is decoded
// (package wire), so that a small message cannot become a large one. Connections of the gRPC server are bounded before their
// handshake, in all and for each address.
package login

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config is the extension's section in the collector's configuration.
type Config struct {
	// Htpasswd is the file with a line user:bcrypt for each password: of a user's two, the former one comes second.
	Htpasswd string `mapstructure:"htpasswd"`
	// Remember is how long a verdict is used again; a right one as long as it is used.
	Remember time.Duration `mapstructure:"remember"`
	// Checks is how many passwords are compared at once with the file; it bounds what wrong ones cost.
	Checks int `mapstructure:"checks"`
	// Waiting is how many may wait for that; further ones are told to come again.
	Waiting int `mapstructure:"waiting"`
	// MaxInFlight is how many gRPC calls may be received and worked on at once: with the largest message, a bound of memory.
	MaxInFlight int64 `mapstructure:"max_in_flight"`
	// MaxInFlightBytes is what requests of HTTP may take at once: the buffers of bodies that are being read, and what a body
	// takes as a message, as far as it tells, once it was read. Of gRPC it bounds messages that were received; what is being
	// received is bounded by MaxInFlight.
	MaxInFlightBytes int64 `mapstructure:"max_in_flight_bytes"`
	// MaxConnections bounds the connections of the gRPC server; further ones are closed before their handshake.
	MaxConnections int `mapstructure:"max_connections"`
	// MaxConnectionsPerAddress is the share that one address may have of them.
	MaxConnectionsPerAddress int `mapstructure:"max_connections_per_address"`
	// Clients are the users' shares: every user of the file has one, or none has.
	Clients map[string]Client `mapstructure:"clients"`
	// Burst is how many seconds of a client's rates may come at once.
	Burst time.Duration `mapstructure:"burst"`
	// Queues are the bytes of each signal that may wait for their answer.
	Queues map[string]int64 `mapstructure:"queues"`
	// TLS is the gRPC server's, whose handshake is made here so that it can be refused; nil where it has none.
	TLS *configtls.ServerConfig `mapstructure:"tls"`
}

// Validate names the first mistake.
func (c *Config) Validate() error {
	switch {
	case c.Htpasswd == "":
		return errors.New("htpasswd must name a file")
	case c.Remember <= 0:
		return fmt.Errorf("remember is %s, must be above 0", c.Remember)
	case c.Checks < 1 || c.Waiting < 1 || c.MaxInFlight < 1 || c.MaxInFlightBytes < 1:
		return errors.New("checks, waiting, max_in_flight and max_in_flight_bytes must be at least 1")
	case c.MaxConnectionsPerAddress < 1 || c.MaxConnections < c.MaxConnectionsPerAddress:
		return errors.New("max_connections_per_address must be at least 1 and at most max_connections")
	}
	return c.validateShares()
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() extension.Factory {
	return extension.NewFactory(component.MustNewType("login"),
		func() component.Config {
			return &Config{
				Remember: 10 * time.Minute, Checks: 1, Waiting: 32, MaxInFlight: 64, MaxInFlightBytes: 128 << 20,
				MaxConnections: 1024, MaxConnectionsPerAddress: 512, Burst: 10 * time.Second,
			}
		},
		func(_ context.Context, set extension.Settings, config component.Config) (extension.Extension, error) {
			return newLogin(set, config.(*Config))
		}, component.StabilityLevelStable)
}

var (
	errNone  = status.Error(codes.Unauthenticated, "no user name and password: send the header `authorization: Basic ...`")
	errWrong = status.Error(codes.Unauthenticated, "user name or password is wrong")
	errBusy  = status.Error(codes.Unavailable, "too many passwords are being checked: try again")
	// Clients give up for good on ResourceExhausted without a delay to wait for.
	errFlooded = status.Error(codes.Unavailable, "too many calls at once: try again")
)

var (
	_ extensionauth.Server           = (*login)(nil)
	_ extensionmiddleware.GRPCServer = (*login)(nil)
	_ extensionmiddleware.HTTPServer = (*login)(nil)
)

const (
	mostRemembered = 4096
	mostPasswords  = 2 // of a user
)

// place is which of a user's passwords one is.
type place int

const (
	wrong place = iota - 1
	current
	former
)

type digest [sha256.Size]byte

type remembered struct {
	place place
	until time.Time
}

type login struct {
	component.ShutdownFunc
	config   *Config
	secret   []byte // of the digests under which verdicts are remembered
	hashes   map[string][][]byte
	mutex    sync.Mutex
	verdicts map[digest]remembered
	checks   chan struct{}
	waiting  atomic.Int64
	inFlight atomic.Int64
	bytes    atomic.Int64 // of requests of HTTP in flight, from their first byte on
	decoded  atomic.Int64 // bytes of calls of gRPC in flight
	weights  sync.Map     // decoded message -> its size, from the codec to the call's statistics
	open     *connections
	shares   *shares
	refused  metric.Int64Counter
	formers  metric.Int64Counter
	now      func() time.Time
}

func newLogin(set extension.Settings, config *Config) (*login, error) {
	meter := set.MeterProvider.Meter("obs-platform/collector/login")
	refused, err := meter.Int64Counter("otelcol_login_refused_requests",
		metric.WithDescription("Requests that were refused before anything of them was read."), metric.WithUnit("{requests}"))
	if err != nil {
		return nil, err
	}
	formers, err := meter.Int64Counter("otelcol_login_former_password_requests",
		metric.WithDescription("Requests with the former of their user's two passwords."), metric.WithUnit("{requests}"))
	if err != nil {
		return nil, err
	}
	open := newConnections(config.MaxConnections, config.MaxConnectionsPerAddress)
	if err := observeConnections(meter, open); err != nil {
		return nil, err
	}
	divided, err := newShares(config, meter)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return &login{
		config: config, secret: secret, verdicts: map[digest]remembered{}, checks: make(chan struct{}, config.Checks), open: open, shares: divided,
		refused: refused, formers: formers,
		now: time.Now,
	}, nil
}

// Start reads the password file.
func (l *login) Start(ctx context.Context, _ component.Host) error {
	content, err := os.ReadFile(l.config.Htpasswd)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	l.hashes = map[string][][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if _, err := bcrypt.Cost([]byte(hash)); !ok || user == "" || err != nil {
			return fmt.Errorf("login: %s, line %d: allowed is user:hash with a hash of bcrypt", l.config.Htpasswd, number)
		}
		if _, known := l.config.Clients[user]; !known && len(l.config.Clients) > 0 {
			return fmt.Errorf("login: %s, line %d: user %s has no share: add it to clients", l.config.Htpasswd, number, user)
		}
		if len(l.hashes[user]) == mostPasswords {
			return fmt.Errorf("login: %s, line %d: user %s has %d passwords already, no more are allowed", l.config.Htpasswd, number, user, mostPasswords)
		}
		l.hashes[user] = append(l.hashes[user], []byte(hash))
		if len(l.hashes[user]) == mostPasswords {
			l.countFormer(ctx, user, 0)
		}
	}
	return lines.Err()
}

func (l *login) countFormer(ctx context.Context, user string, requests int64) {
	l.formers.Add(ctx, requests, metric.WithAttributes(attribute.String("layer", user)))
}

// Authenticate checks the header of a request.
func (l *login) Authenticate(ctx context.Context, headers map[string][]string) (context.Context, error) {
	header := ""
	for name, values := range headers {
		if len(values) > 0 && strings.EqualFold(name, "authorization") {
			header = values[0]
			break
		}
	}
	user, place, err := l.check(ctx, header)
	if err != nil {
		return ctx, err
	}
	if place == former {
		l.countFormer(ctx, user, 1)
	}
	info := client.FromContext(ctx)
	info.Auth = identity(user)
	return client.NewContext(ctx, info), nil
}

// check tells who sends a header, and with which of his passwords.
func (l *login) check(ctx context.Context, header string) (string, place, error) {
	user, password, ok := parse(header)
	if !ok {
		return "", wrong, l.refuse(ctx, "none", errNone)
	}
	hashes, known := l.hashes[user]
	if !known {
		return "", wrong, l.refuse(ctx, "wrong", errWrong)
	}
	key := l.digest(user, password)
	found, ok := l.remembered(key)
	if !ok {
		if l.waiting.Add(1) > int64(l.config.Waiting) {
			l.waiting.Add(-1)
			return "", wrong, l.refuse(ctx, "busy", errBusy)
		}
		defer l.waiting.Add(-1)
		select {
		case l.checks <- struct{}{}:
		case <-ctx.Done():
			return "", wrong, l.refuse(ctx, "busy", errBusy)
		}
		found = compare(hashes, []byte(password))
		<-l.checks
		l.remember(key, found)
	}
	if found == wrong {
		return "", wrong, l.refuse(ctx, "wrong", errWrong)
	}
	return user, found, nil
}

func compare(hashes [][]byte, password []byte) place {
	for index, hash := range hashes {
		if bcrypt.CompareHashAndPassword(hash, password) == nil {
			return place(index)
		}
	}
	return wrong
}

func parse(header string) (user, password string, ok bool) {
	const scheme = "Basic "
	if len(header) < len(scheme) || len(header) > 1024 || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(header[len(scheme):])
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

func (l *login) refuse(ctx context.Context, why string, err error) error {
	l.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", why)))
	return err
}

func (l *login) digest(user, password string) (made digest) {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write([]byte(user))
	mac.Write([]byte{0})
	mac.Write([]byte(password))
	mac.Sum(made[:0])
	return made
}

func (l *login) remembered(key digest) (place, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	found, ok := l.verdicts[key]
	if !ok || l.now().After(found.until) {
		return wrong, false
	}
	if found.place != wrong {
		// Who is known goes on being known, however many wrong passwords wait for their turn.
		l.verdicts[key] = remembered{found.place, l.now().Add(l.config.Remember)}
	}
	return found.place, true
}

// remember keeps a verdict. When there are too many, the wrong and the old ones go, for they are an attack's.
func (l *login) remember(key digest, found place) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := l.now()
	if len(l.verdicts) >= mostRemembered {
		for each, verdict := range l.verdicts {
			if verdict.place == wrong || now.After(verdict.until) {
				delete(l.verdicts, each)
			}
		}
	}
	l.verdicts[key] = remembered{found, now.Add(l.config.Remember)}
}

// user is who signed in, or "".
func user(ctx context.Context) string {
	name, _ := client.FromContext(ctx).Auth.(identity)
	return string(name)
}

// identity is who signed in, as processors read it.
type identity string

func (i identity) GetAttribute(name string) any {
	if name == "username" {
		return string(i)
	}
	return nil
}

func (identity) GetAttributeNames() []string { return []string{"username"} }
