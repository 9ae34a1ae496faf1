package drain

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
)

// asked is the status of an answer, its text, and how long it took.
func asked(t *testing.T, edit func(*Config), queues ...func() int64) (int, string, time.Duration) {
	t.Helper()
	return askedAt(t, "/", edit, queues...)
}

func askedAt(t *testing.T, path string, edit func(*Config), queues ...func() int64) (int, string, time.Duration) {
	t.Helper()
	config := NewFactory().CreateDefaultConfig().(*Config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config.NetAddr.Endpoint = listener.Addr().String()
	_ = listener.Close()
	config.AtLeast, config.Stalled, config.Limit = 0, 600*time.Millisecond, 20*time.Second
	edit(config)
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	made, err := NewFactory().Create(context.Background(), extensiontest.NewNopSettings(component.MustNewType("drain")), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for index, queue := range queues {
		made.(*drain).Watch(string(rune('a'+index)), queue)
	}
	began := time.Now()
	answer, err := http.Get("http://" + config.NetAddr.Endpoint + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), time.Since(began)
}

func shrinking(from int64) func() int64 {
	var left atomic.Int64
	left.Store(from)
	return func() int64 { return max(left.Add(-1), 0) }
}

func constant(size int64) func() int64 { return func() int64 { return size } }

func TestAnEmptyDiskIsToldAfterTheLoadBalancersHadTheirTime(t *testing.T) {
	status, text, took := asked(t, func(config *Config) { config.AtLeast = time.Second }, constant(0), constant(0))
	if status != http.StatusOK || text != "nothing is left on disk\n" || took < time.Second {
		t.Errorf("%d %q after %s", status, text, took)
	}
}

func TestItWaitsAsLongAsSomethingLeavesTheDisk(t *testing.T) {
	status, _, took := asked(t, func(*Config) {}, constant(0), shrinking(12))
	if status != http.StatusOK || took < 1200*time.Millisecond {
		t.Errorf("%d after %s", status, took)
	}
}

func TestADiskThatWasNotEmptyIsToldOnceItsEmptinessWasScraped(t *testing.T) {
	status, _, took := asked(t, func(config *Config) { config.AtLeast = time.Second }, shrinking(12))
	if status != http.StatusOK || took < 2600*time.Millisecond {
		t.Errorf("%d after %s", status, took)
	}
}

func TestWhereNothingLeavesTheDiskItSaysHowMuchIsLeft(t *testing.T) {
	status, text, took := asked(t, func(*Config) {}, constant(40), constant(2))
	if status != http.StatusServiceUnavailable || text != "42 bytes are left on disk\n" {
		t.Errorf("%d %q", status, text)
	}
	if took < 600*time.Millisecond || took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAtNowTheAnswerComesAtOnce(t *testing.T) {
	slow := func(config *Config) { config.AtLeast = 10 * time.Second }
	for size, code := range map[int64]int{0: http.StatusOK, 7: http.StatusServiceUnavailable} {
		status, _, took := askedAt(t, Now, slow, constant(size))
		if status != code || took > 5*time.Second {
			t.Errorf("%d bytes: %d after %s", size, status, took)
		}
	}
}

func TestNoAnswerTakesLongerThanTheLimit(t *testing.T) {
	status, _, took := asked(t, func(config *Config) { config.Limit = time.Second }, shrinking(1000))
	if status != http.StatusServiceUnavailable || took < time.Second || took > 10*time.Second {
		t.Errorf("%d after %s", status, took)
	}
}

func TestAMistakeInTheConfigurationIsNamed(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no endpoint":              func(config *Config) { config.NetAddr.Endpoint = "" },
		"at_least below 0":         func(config *Config) { config.AtLeast = -1 },
		"stalled 0":                func(config *Config) { config.Stalled = 0 },
		"limit shorter than stall": func(config *Config) { config.Limit = config.Stalled - 1 },
		"limit below at_least":     func(config *Config) { config.AtLeast = config.Limit + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			config := NewFactory().CreateDefaultConfig().(*Config)
			config.NetAddr.Endpoint = "127.0.0.1:1"
			if err := config.Validate(); err != nil {
				t.Fatal(err)
			}
			edit(config)
			if config.Validate() == nil {
				t.Error("it is taken")
			}
		})
	}
}
