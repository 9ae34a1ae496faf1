package gate

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const reportEvery = time.Minute

// core is what the requests of one signal share.
type core struct {
	config    *Config
	logger    *zap.Logger
	signal    signal
	catalogue atomic.Pointer[catalogue]
	content   []byte // of the catalogue in use
	refused   string // the mistake of the file that is not in use
	ids       *pseudonyms
	texts     *texts
	telemetry *telemetry
	reporter  *reporter
	walks     sync.Pool
	sketches  sync.Map // layer name -> *layerSketches
	stop      chan struct{}
	done      sync.WaitGroup
}

type layerSketches struct{ series, names *sketch }

func newCore(set processor.Settings, config *Config, of signal) (*core, error) {
	made, err := newTelemetry(set.TelemetrySettings, signalNames[of])
	if err != nil {
		return nil, err
	}
	c := &core{
		config: config, logger: set.Logger, signal: of, telemetry: made,
		ids: newPseudonyms([]byte(config.HashKey), config.CacheEntries), texts: newTexts(config.CacheEntries),
		reporter: &reporter{logger: set.Logger, signal: signalNames[of], every: reportEvery, counts: map[reportKey]*reportLine{}},
		stop:     make(chan struct{}),
	}
	c.walks.New = func() any { return new(walk) }
	// Not when it starts: a receiver of several signals listens as soon as the first of them has started.
	content, err := os.ReadFile(config.Catalogue)
	if err != nil {
		return nil, fmt.Errorf("gate: catalogue: %w", err)
	}
	if err := c.use(content, time.Now()); err != nil {
		return nil, fmt.Errorf("gate: catalogue %s: %w", config.Catalogue, err)
	}
	return c, nil
}

func (c *core) start(context.Context, component.Host) error {
	c.telemetry.observe(c)
	c.done.Add(1)
	go c.attend()
	return nil
}

func (c *core) shutdown(context.Context) error {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.done.Wait()
	c.reporter.report()
	return c.telemetry.close()
}

// use takes a catalogue into use; with a mistake in it the old one stays.
func (c *core) use(content []byte, now time.Time) error {
	made, err := parse(content)
	if err != nil {
		return err
	}
	for _, each := range made.ordered {
		fresh := &layerSketches{
			series: newSketch(each.budget.Series, each.budget.ClientSeries, made.limits.Window, now),
			names:  newSketch(max(each.budget.SpanNames, 1), 0, made.limits.Window, now),
		}
		if old := c.catalogue.Load(); old != nil {
			if before := old.layers[each.name]; before != nil && before.budget == each.budget && old.limits.Window == made.limits.Window {
				continue // what was counted stays
			}
		}
		c.sketches.Store(each.name, fresh)
	}
	c.catalogue.Store(made)
	c.content = content
	return nil
}

// attend looks for a changed catalogue, reports what did not pass and moves the windows on.
func (c *core) attend() {
	defer c.done.Done()
	reload := time.NewTicker(c.config.ReloadInterval)
	report := time.NewTicker(reportEvery)
	defer reload.Stop()
	defer report.Stop()
	for {
		select {
		case <-c.stop:
			return
		case now := <-reload.C:
			c.reload(now)
			c.sketches.Range(func(_, value any) bool {
				value.(*layerSketches).series.rotate(now)
				value.(*layerSketches).names.rotate(now)
				return true
			})
		case <-report.C:
			c.reporter.report()
		}
	}
}

func (c *core) reload(now time.Time) {
	content, err := os.ReadFile(c.config.Catalogue)
	if err == nil && string(content) == string(c.content) {
		c.refused = ""
		return
	}
	if err == nil {
		err = c.use(content, now)
	}
	if err == nil {
		c.refused = ""
		c.telemetry.reloaded(true)
		c.logger.Info("catalogue taken into use", zap.String("version", c.catalogue.Load().version))
		return
	}
	if mistake := oneLine(err.Error()); mistake != c.refused {
		c.refused = mistake
		c.telemetry.reloaded(false)
		c.logger.Error("catalogue has a mistake; the old one stays in use",
			zap.String("file", c.config.Catalogue), zap.String("mistake", mistake), zap.String("in_use", c.catalogue.Load().version))
	}
}

func (c *core) series(of *layer) *sketch    { return c.sketch(of).series }
func (c *core) spanNames(of *layer) *sketch { return c.sketch(of).names }

func (c *core) sketch(of *layer) *layerSketches {
	found, _ := c.sketches.Load(of.name)
	return found.(*layerSketches)
}

// user is who signed in, or "".
func user(ctx context.Context) string {
	info := client.FromContext(ctx)
	if info.Auth == nil {
		return ""
	}
	name, _ := info.Auth.GetAttribute("username").(string)
	return name
}

// pass lets one request through a walk, and says what the client hears.
func (c *core) pass(ctx context.Context, over func(*walk) int) error {
	w := c.walks.Get().(*walk)
	w.begin(c, c.signal, user(ctx), time.Now())
	left := over(w)
	var err error
	c.telemetry.accept(ctx, w)
	if w.tally.touched {
		c.telemetry.add(ctx, w)
		c.reporter.add(c.telemetry.names(w.catalogue), &w.tally)
		if left == 0 && w.tally.firstSet {
			err = status.Error(codes.InvalidArgument, w.tally.answer())
		}
	}
	if err == nil && left == 0 {
		err = processorhelper.ErrSkipProcessingData // there was nothing in it
	}
	w.layer, w.tally.example = nil, ""
	clear(w.scopes.identities)
	w.scopes.name, w.scopes.owners = "", nil
	clear(w.seen[:cap(w.seen)])
	clear(w.ids[:cap(w.ids)])
	c.walks.Put(w)
	return err
}

func (c *core) metrics(ctx context.Context, data pmetric.Metrics) (pmetric.Metrics, error) {
	return data, c.pass(ctx, func(w *walk) int { return w.metrics(data) })
}

func (c *core) traces(ctx context.Context, data ptrace.Traces) (ptrace.Traces, error) {
	return data, c.pass(ctx, func(w *walk) int { return w.traces(data) })
}

func (c *core) logs(ctx context.Context, data plog.Logs) (plog.Logs, error) {
	return data, c.pass(ctx, func(w *walk) int { return w.logs(data) })
}
