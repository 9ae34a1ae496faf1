package gate

import (
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// scopesOf is a request of one process with a point of the same series in each scope.
func scopesOf(scopes ...func(pmetric.ScopeMetrics)) pmetric.Metrics {
	data := gauge(deviceResource, "device.connected", "{connection}", nil)
	first := data.ResourceMetrics().At(0).ScopeMetrics()
	for range scopes[1:] {
		first.At(0).CopyTo(first.AppendEmpty())
	}
	for index, edit := range scopes {
		edit(first.At(index))
		first.At(index).Metrics().At(0).Gauge().DataPoints().At(0).SetIntValue(int64(index))
	}
	return data
}

func scopeNamed(name, version string) func(pmetric.ScopeMetrics) {
	return func(scope pmetric.ScopeMetrics) {
		scope.Scope().SetName(name)
		scope.Scope().SetVersion(version)
	}
}

func TestTwoScopesThatPrometheusTellsApartPassAndOthersAreRefused(t *testing.T) {
	described := func(name, key, value string) func(pmetric.ScopeMetrics) {
		return func(scope pmetric.ScopeMetrics) {
			scope.Scope().SetName(name)
			scope.Scope().Attributes().PutStr(key, value)
		}
	}
	under := func(name, schema string) func(pmetric.ScopeMetrics) {
		return func(scope pmetric.ScopeMetrics) {
			scope.Scope().SetName(name)
			scope.SetSchemaUrl(schemas + schema)
		}
	}
	otherMetric := func(scope pmetric.ScopeMetrics) {
		scopeNamed("a", "2.0.0")(scope)
		m := scope.Metrics().At(0)
		m.SetName("device.state")
		m.SetUnit("{state}")
		m.Gauge().DataPoints().At(0).Attributes().PutStr("device.state", "idle")
	}
	for name, each := range map[string]struct {
		sent pmetric.Metrics
		want string
	}{
		"names":           {scopesOf(scopeNamed("a", "1.0.0"), scopeNamed("b", "1.0.0"), scopeNamed("", "")), "a=0 b=1 =2"},
		"the same":        {scopesOf(scopeNamed("a", "1.0.0"), scopeNamed("a", "1.0.0")), "a=0 a=1"},
		"versions":        {scopesOf(scopeNamed("a", "1.0.0"), scopeNamed("a", "2.0.0"), scopeNamed("b", "")), "a=0 b=2"},
		"three versions":  {scopesOf(scopeNamed("a", "1.0.0"), scopeNamed("a", "2.0.0"), scopeNamed("a", "1.0.0")), "a=0 a=2"},
		"schemas":         {scopesOf(under("a", "1.1.0"), under("a", "1.2.0")), "a=0"},
		"keys":            {scopesOf(described("a", "pool", "x"), described("a", "tool", "x")), "a=0"},
		"values":          {scopesOf(described("a", "pool", "x"), described("a", "pool", "y")), "a=0"},
		"no name":         {scopesOf(scopeNamed("", "1.0.0"), scopeNamed("", "2.0.0")), "=0"},
		"another metric":  {scopesOf(scopeNamed("a", "1.0.0"), otherMetric), "a=0 a=1"},
		"longer than 255": {scopesOf(scopeNamed("a", ""), scopeNamed(strings.Repeat("b", longestName+1), "")), "a=0"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, metricsSignal)
			sent := each.sent.DataPointCount()
			data, err := g.metrics(as("device"), each.sent)
			if err != nil {
				t.Fatal(err)
			}
			passed := []string{}
			for _, scope := range data.ResourceMetrics().At(0).ScopeMetrics().All() {
				passed = append(passed, fmt.Sprintf("%s=%d", scope.Scope().Name(), scope.Metrics().At(0).Gauge().DataPoints().At(0).IntValue()))
				if scope.Scope().Version() != "" || scope.SchemaUrl() != "" || scope.Scope().Attributes().Len() > 0 {
					t.Error("a scope has more than its name")
				}
			}
			if got := strings.Join(passed, " "); got != each.want {
				t.Errorf("%q passed, want %q", got, each.want)
			}
			refused := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "scope_duplicate"}) +
				g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "size"})
			if got := int(refused) + data.DataPointCount(); got != sent {
				t.Errorf("%d points passed or were told, of %d", got, sent)
			}
		})
	}
}

func TestHistogramsOfTwoScopesOfOneNameShareTheirCountWhateverTheirBounds(t *testing.T) {
	g := newGate(t, metricsSignal)
	data := pmetric.NewMetrics()
	resource := data.ResourceMetrics().AppendEmpty()
	put(resource.Resource().Attributes(), apiResource)
	for index, bounds := range [][]float64{{1, 2}, {1, 3}} {
		scope := resource.ScopeMetrics().AppendEmpty()
		scopeNamed("http", fmt.Sprintf("%d.0.0", index))(scope)
		m := scope.Metrics().AppendEmpty()
		m.SetName("http.server.request.duration")
		m.SetUnit("s")
		m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := m.Histogram().DataPoints().AppendEmpty()
		p.SetTimestamp(now())
		p.ExplicitBounds().FromRaw(bounds)
		p.BucketCounts().FromRaw(make([]uint64, 3))
	}
	data, err := g.metrics(as("business"), data)
	if err != nil {
		t.Fatal(err)
	}
	if data.DataPointCount() != 1 {
		t.Errorf("%d points passed, want 1", data.DataPointCount())
	}
}

func TestAClientWithEverNewScopesUsesUpItsBudget(t *testing.T) {
	g := newGate(t, metricsSignal)
	passed := 0
	for index := range 300 {
		if _, err := g.metrics(as("device"), scopesOf(scopeNamed(fmt.Sprintf("library-%c%c", 'a'+index%26, 'a'+index/26), ""))); err == nil {
			passed++
		}
	}
	if passed < 95 || passed > 103 { // of 100, and hashes may meet
		t.Errorf("%d scopes passed, want about 99", passed)
	}
	if got := g.counted(t, "otelcol_gate_refused_items", map[string]string{"reason": "client_budget"}); int(got) != 300-passed {
		t.Errorf("%d were told, want %d", got, 300-passed)
	}
}

func TestALabelOfScopesCannotBeForged(t *testing.T) {
	for _, key := range []string{"otel_scope_name", "otel.scope.name", "otel_scope_version", "otel_scope_schema_url"} {
		g := newGate(t, metricsSignal)
		if _, err := g.metrics(as("streaming"), gauge(recorder, "x.y", "", map[string]any{key: "other"})); err == nil {
			t.Errorf("%q passed as an attribute of a point", key)
		}
		data, err := g.metrics(as("streaming"), gauge(with(recorder, map[string]any{key: "other"}), "x.y", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := data.ResourceMetrics().At(0).Resource().Attributes().Get(key); ok {
			t.Errorf("%q passed as an attribute of a resource", key)
		}
	}
}
