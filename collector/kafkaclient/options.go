// Package kafkaclient has what every client of Kafka in the collector has in common: who it is, how it signs in, and how
// soon it gives up a broker that hangs.
package kafkaclient

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
)

// A broker that hangs, as with a machine that lost its power, refuses nothing: only time tells. A client does one thing
// after the other with a broker until a connection stands, so that these add up: for records, for the group, and for asking
// who leads instead.
var (
	// DialLimit bounds making a connection, with its TLS handshake.
	DialLimit = 3 * time.Second
	// AnswerLimit bounds the wait for an answer, beyond what the request itself allows.
	AnswerLimit = 5 * time.Second
)

// metadataPause is the least time between two questions who leads: while a leader is missing they are asked one after the other.
const metadataPause = 250 * time.Millisecond

// Settings are what a client's configuration says.
type Settings struct {
	// Brokers are bootstrap addresses, host:port.
	Brokers  []string
	ClientID string
	TLS      configtls.ClientConfig
	// Username and Password are for SCRAM-SHA-512, the one mechanism of the platform; without a user there is none.
	Username string
	Password configopaque.String
	// MetadataRefresh is how often the client asks who leads a partition while nothing fails.
	MetadataRefresh time.Duration
}

// Options are those of franz-go; a client adds its own.
func Options(ctx context.Context, s Settings) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.ClientID(s.ClientID),
		kgo.MetadataMaxAge(s.MetadataRefresh),
		kgo.MetadataMinAge(metadataPause),
		kgo.DialTimeout(DialLimit),
		kgo.RequestTimeoutOverhead(AnswerLimit),
		kgo.DisableClientMetrics(),
	}
	if s.Username != "" {
		options = append(options, kgo.SASL(scram.Auth{User: s.Username, Pass: string(s.Password)}.AsSha512Mechanism()))
	}
	tls, err := s.TLS.LoadTLSConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if tls != nil {
		options = append(options, kgo.DialTLSConfig(tls))
	}
	return options, nil
}
