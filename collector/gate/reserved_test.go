package gate

import "testing"

func TestNoUnitCompletesAReservedName(t *testing.T) {
	for name, unit := range map[string]string{
		"kafka":       "controller_kafkacontroller_offlinepartitionscount",
		"otelcol":     "By",
		"..kafka..":   "s",
		"process_cpu": "seconds",
	} {
		g := newGate(t, metricsSignal, func(c *catalogue) { c.metrics.exact["process_cpu_seconds_total"] = struct{}{} })
		if _, err := g.metrics(as("streaming"), gauge(recorder, name, unit, nil)); err == nil {
			t.Errorf("%s with the unit %q was let in", name, unit)
		}
	}
	g := newGate(t, metricsSignal)
	if _, err := g.metrics(as("streaming"), gauge(recorder, "kafkaesque", "s", nil)); err != nil {
		t.Errorf("a name that only begins like a reserved one was refused: %v", err)
	}
}
