package gate

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"obs-platform/collector/masking"
)

const (
	longestTraceState = 512
	longestSpanName   = 512
	longestSeverity   = 32
	spanFlags         = 0x3ff // that OpenTelemetry defines; the index holds 31 bits
	mostEvents        = 128
	mostLinks         = 128
)

// traces walks over one request, and returns how many spans are left.
func (w *walk) traces(data ptrace.Traces) int {
	left := 0
	data.ResourceSpans().RemoveIf(func(resource ptrace.ResourceSpans) bool {
		spans := 0
		for _, scope := range resource.ScopeSpans().All() {
			spans += scope.Spans().Len()
		}
		if !w.attribution(resource.Resource(), spans) {
			return true
		}
		if !schema(resource.SchemaUrl()) {
			resource.SetSchemaUrl("")
		}
		kept := 0
		resource.ScopeSpans().RemoveIf(func(scope ptrace.ScopeSpans) bool {
			w.scope(scope.Scope())
			if !schema(scope.SchemaUrl()) {
				scope.SetSchemaUrl("")
			}
			scope.Spans().RemoveIf(func(span ptrace.Span) bool { return !w.span(span) })
			kept += scope.Spans().Len()
			return scope.Spans().Len() == 0
		})
		if kept == 0 && spans > 0 {
			w.tally.gone++
		}
		left += kept
		w.tally.accepted[w.slot] += int64(kept)
		return kept == 0
	})
	return left
}

func (w *walk) span(span ptrace.Span) bool {
	if span.TraceID().IsEmpty() || span.SpanID().IsEmpty() {
		w.tally.refuse(w.slot, idRefused, 1, "")
		return false
	}
	start, end := span.StartTimestamp(), span.EndTimestamp()
	if start == 0 || end < start || end > w.latest || start < w.earliest {
		w.tally.refuse(w.slot, timeRefused, 1, "")
		return false
	}
	left, why, ok := w.sound(span.Attributes(), w.catalogue.limits.ItemBytes)
	for _, event := range span.Events().All() {
		if ok {
			left, why, ok = w.sound(event.Attributes(), left-len(event.Name()))
		}
	}
	for _, link := range span.Links().All() {
		if ok {
			left, why, ok = w.sound(link.Attributes(), left)
		}
	}
	if !ok {
		w.tally.refuse(w.slot, why, 1, "")
		return false
	}
	w.spanTexts(span)
	span.SetFlags(span.Flags() & spanFlags)
	known := w.layer.spans
	w.attributes(span.Attributes(), known)
	if span.Events().Len() > 0 {
		count := 0
		span.Events().RemoveIf(func(event ptrace.SpanEvent) bool {
			if count++; count > mostEvents {
				w.tally.drop(w.slot, itemsRefused)
				return true
			}
			if name, changed := w.name(event.Name(), longestSpanName); changed {
				event.SetName(name)
			}
			if event.Timestamp() > w.latest {
				event.SetTimestamp(end)
			}
			w.attributes(event.Attributes(), known)
			return false
		})
	}
	if span.Links().Len() > 0 {
		count := 0
		span.Links().RemoveIf(func(link ptrace.SpanLink) bool {
			if count++; count > mostLinks {
				w.tally.drop(w.slot, itemsRefused)
				return true
			}
			w.traceState(link.TraceState())
			link.SetFlags(link.Flags() & spanFlags)
			w.attributes(link.Attributes(), known)
			return false
		})
	}
	return true
}

func (w *walk) spanTexts(span ptrace.Span) {
	if name, changed := w.name(span.Name(), longestSpanName); changed {
		span.SetName(name)
	}
	if limit := w.layer.budget.SpanNames; limit > 0 {
		if w.sketches.names.admit(mix(hashString(span.Name())+w.resource), 0, 1) != within {
			w.tally.drop(w.slot, spanNameBudget)
			span.SetName(otherSpanName)
		}
	}
	if message := span.Status().Message(); message != "" {
		if masked, changed := w.name(message, w.catalogue.limits.ValueBytes); changed {
			span.Status().SetMessage(masked)
		}
	}
	w.traceState(span.TraceState())
}

func (w *walk) traceState(state pcommon.TraceState) {
	if raw := state.AsRaw(); raw != "" {
		if masked, changed := w.name(raw, longestTraceState); changed {
			state.FromRaw(masked)
		}
	}
}

// logs walks over one request, and returns how many records are left.
func (w *walk) logs(data plog.Logs) int {
	left := 0
	data.ResourceLogs().RemoveIf(func(resource plog.ResourceLogs) bool {
		records := 0
		for _, scope := range resource.ScopeLogs().All() {
			records += scope.LogRecords().Len()
		}
		if !w.attribution(resource.Resource(), records) {
			return true
		}
		if !schema(resource.SchemaUrl()) {
			resource.SetSchemaUrl("")
		}
		kept := 0
		resource.ScopeLogs().RemoveIf(func(scope plog.ScopeLogs) bool {
			w.scope(scope.Scope())
			if !schema(scope.SchemaUrl()) {
				scope.SetSchemaUrl("")
			}
			scope.LogRecords().RemoveIf(func(record plog.LogRecord) bool { return !w.record(record) })
			kept += scope.LogRecords().Len()
			return scope.LogRecords().Len() == 0
		})
		if kept == 0 && records > 0 {
			w.tally.gone++
		}
		left += kept
		w.tally.accepted[w.slot] += int64(kept)
		return kept == 0
	})
	return left
}

func (w *walk) record(record plog.LogRecord) bool {
	if record.Timestamp() > w.latest || record.ObservedTimestamp() > w.latest || record.Timestamp() != 0 && record.Timestamp() < w.earliest {
		w.tally.refuse(w.slot, timeRefused, 1, "")
		return false
	}
	left, why, ok := w.measure(record.Body(), 0, w.catalogue.limits.ItemBytes)
	if ok {
		_, why, ok = w.sound(record.Attributes(), left)
	}
	if !ok {
		w.tally.refuse(w.slot, why, 1, "")
		return false
	}
	if number := record.SeverityNumber(); number < plog.SeverityNumberUnspecified || number > plog.SeverityNumberFatal4 {
		record.SetSeverityNumber(plog.SeverityNumberUnspecified)
		w.tally.drop(w.slot, attributeValue)
	}
	if severity, changed := w.name(record.SeverityText(), longestSeverity); changed {
		record.SetSeverityText(severity)
	}
	if name, changed := w.name(record.EventName(), longestSpanName); changed {
		record.SetEventName(name)
	}
	w.value(record.Body(), 0, masking.Plain, 0)
	w.attributes(record.Attributes(), w.layer.logs)
	return true
}
