// Package drain is an extension that says when a collector may end: what waits on its disk has gone, or nothing of it goes
// any more. Kubernetes asks it before it tells the collector to end (preStop), and waits for the answer; until then the
// collector works and is scraped as ever. What is left then is not lost: it stays on the volume, for the next start.
package drain

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"
)

// Config is the extension's section in the collector's configuration.
type Config struct {
	confighttp.ServerConfig `mapstructure:",squash"`
	// AtLeast is how long an answer takes in any case, and how long nothing has been on disk when it says so: until load
	// balancers have noticed, and the size was scraped that holds for as long as the collector is gone.
	AtLeast time.Duration `mapstructure:"at_least"`
	// Stalled is how long nothing may leave the disk before the answer is that some is left.
	Stalled time.Duration `mapstructure:"stalled"`
	// Limit is how long an answer takes at most.
	Limit time.Duration `mapstructure:"limit"`
}

// Validate names the first mistake.
func (c *Config) Validate() error {
	switch {
	case c.NetAddr.Endpoint == "":
		return errors.New("endpoint must be set")
	case c.AtLeast < 0:
		return fmt.Errorf("at_least is %s, must be 0 or more", c.AtLeast)
	case c.Stalled <= 0 || c.Limit < c.Stalled || c.Limit < c.AtLeast:
		return errors.New("stalled must be above 0, limit at least stalled and at_least")
	}
	return nil
}

// NewFactory makes the factory that the collector is built with.
func NewFactory() extension.Factory {
	return extension.NewFactory(component.MustNewType("drain"),
		func() component.Config {
			server := confighttp.NewDefaultServerConfig()
			server.WriteTimeout = 0 // the limit is the handler's own
			return &Config{ServerConfig: server, AtLeast: 20 * time.Second, Stalled: 30 * time.Second, Limit: 5 * time.Minute}
		},
		func(_ context.Context, set extension.Settings, config component.Config) (extension.Extension, error) {
			return newDrain(set.TelemetrySettings, config.(*Config)), nil
		}, component.StabilityLevelStable)
}

// Now is the path at which the answer comes at once.
const Now = "/now"

// look is how often the sizes are read.
const look = 200 * time.Millisecond

type drain struct {
	config    *Config
	telemetry component.TelemetrySettings
	mutex     sync.Mutex
	queues    map[string]func() int64
	server    *http.Server
	served    sync.WaitGroup
}

func newDrain(telemetry component.TelemetrySettings, config *Config) *drain {
	return &drain{config: config, telemetry: telemetry, queues: map[string]func() int64{}}
}

// Watch adds a queue on disk. Exporters find the extension by this method.
func (d *drain) Watch(name string, size func() int64) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.queues[name] = size
}

func (d *drain) size() (sum int64) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, size := range d.queues {
		sum += size()
	}
	return sum
}

// Start serves the question.
func (d *drain) Start(ctx context.Context, host component.Host) (err error) {
	if d.server, err = d.config.ToServer(ctx, host.GetExtensions(), d.telemetry, d); err != nil {
		return err
	}
	listener, err := d.config.ToListener(ctx)
	if err != nil {
		return err
	}
	d.served.Add(1)
	go func() {
		defer d.served.Done()
		if err := d.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	}()
	return nil
}

// Shutdown answers nobody any more.
func (d *drain) Shutdown(context.Context) error {
	if d.server == nil {
		return nil
	}
	err := d.server.Close()
	d.served.Wait()
	return err
}

// ServeHTTP answers once nothing is left (200), or nothing leaves any more (503); at [Now] it answers at once.
func (d *drain) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == Now {
		tell(answer, d.size())
		return
	}
	left, err := d.wait(request.Context())
	if err != nil {
		return // nobody listens
	}
	if left > 0 {
		d.telemetry.Logger.Warn("ending with a queue on disk that is not empty: it follows once a collector runs on this volume", zap.Int64("left", left))
	}
	tell(answer, left)
}

func tell(answer http.ResponseWriter, left int64) {
	if left > 0 {
		http.Error(answer, fmt.Sprintf("%d bytes are left on disk", left), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(answer, "nothing is left on disk")
}

func (d *drain) wait(ctx context.Context) (int64, error) {
	began := time.Now()
	least, moved, held := d.size(), began, began
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		left, now := d.size(), time.Now()
		if left < least {
			least, moved = left, now
		}
		if left > 0 {
			held = now
		}
		over := left == 0 && now.Sub(held) >= d.config.AtLeast
		stalled := left > 0 && now.Sub(moved) >= d.config.Stalled && now.Sub(began) >= d.config.AtLeast
		if over || stalled || now.Sub(began) >= d.config.Limit {
			return left, nil
		}
		select {
		case <-ctx.Done():
			return left, ctx.Err()
		case <-ticker.C:
		}
	}
}
