package gate

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/xpdata/entity"

	"obs-platform/collector/masking"
)

// walk is one pass over one request. It is used again.
type walk struct {
	core      *core
	catalogue *catalogue
	signal    signal
	layers    []*layer // that the client may speak for
	client    string
	now       time.Time
	earliest  pcommon.Timestamp
	latest    pcommon.Timestamp
	tally     tally
	items     int // that the request may still have

	// of the resource at hand
	layer    *layer
	slot     int
	sketches *layerSketches
	resource uint64 // hash of what makes its series its own
	target   uint64 // hash of all that is kept: what makes its target_info its own
	info     verdict
	ids      []rawID
	seen     []string
	scopes   scopes
}

const mostIDs = 4 // of one resource

type rawID struct{ raw, hashed string }

func (w *walk) begin(c *core, s signal, client string, now time.Time) {
	w.core, w.signal, w.client, w.now = c, s, client, now
	w.catalogue = c.catalogue.Load()
	w.layers = w.catalogue.clients[client]
	w.tally.reset(len(w.catalogue.ordered))
	limits := &w.catalogue.limits
	w.items = limits.Items
	w.latest = pcommon.NewTimestampFromTime(now.Add(limits.Future))
	past := limits.Past
	if s == metricsSignal && limits.MetricsPast > 0 {
		past = limits.MetricsPast
	}
	w.earliest = 0
	if past > 0 {
		w.earliest = pcommon.NewTimestampFromTime(now.Add(-past))
	}
}

// attribution decides for whom the resource speaks and whether it may; items is what is refused with it.
func (w *walk) attribution(resource pcommon.Resource, items int) bool {
	w.tally.resources++
	attributes := resource.Attributes()
	w.layer, w.slot = nil, 0
	if w.tally.resources > w.catalogue.limits.Resources || items > w.items {
		return w.refused(itemsRefused, items, "")
	}
	w.items -= items
	if attributes.Len() > w.catalogue.limits.Attributes {
		return w.refused(attributeCount, items, "")
	}
	if _, why, ok := w.sound(attributes, w.catalogue.limits.ResourceBytes); !ok {
		return w.refused(why, items, "")
	}
	named, present := attributes.Get(layerKey)
	switch {
	case len(w.layers) == 0:
		return w.refused(clientUnknown, items, w.client)
	case !present:
		if len(w.layers) > 1 {
			return w.refused(layerMissing, items, "")
		}
		w.layer = w.layers[0]
		attributes.PutStr(layerKey, w.layer.name)
	default:
		if named.Type() != pcommon.ValueTypeStr || w.catalogue.layers[named.Str()] == nil {
			return w.refused(layerUnknown, items, named.AsString())
		}
		for _, allowed := range w.layers {
			if allowed.name == named.Str() {
				w.layer = allowed
			}
		}
		if w.layer == nil {
			return w.refused(layerForeign, items, named.Str())
		}
	}
	w.slot = w.layer.index + 1
	w.sketches = w.core.sketch(w.layer)
	if !w.layer.signals[w.signal] {
		return w.refused(signalRefused, items, signalNames[w.signal])
	}
	service, ok := attributes.Get(serviceName)
	if !ok || service.Type() != pcommon.ValueTypeStr || service.Str() == "" {
		return w.refused(serviceMissing, items, "")
	}
	if _, known := w.layer.services[service.Str()]; !known {
		if w.catalogue.reservedService(service.Str()) {
			return w.refused(serviceReserved, items, service.Str())
		}
		if !w.layer.open {
			return w.refused(serviceUnknown, items, service.Str())
		}
	}
	for _, key := range w.layer.required {
		if value, ok := attributes.Get(key); !ok || value.Type() == pcommon.ValueTypeEmpty || value.Type() == pcommon.ValueTypeStr && value.Str() == "" {
			return w.refused(attributeRequired, items, key)
		}
	}
	w.resourceAttributes(resource)
	return true
}

func (w *walk) refused(why reason, items int, example string) bool {
	w.tally.refuse(w.slot, why, max(items, 1), example)
	w.tally.gone++
	return false
}

// resourceAttributes keeps the catalogue's attributes. What equals an id of the resource becomes the same pseudonym.
func (w *walk) resourceAttributes(resource pcommon.Resource) {
	w.ids, w.seen = w.ids[:0], w.seen[:0]
	attributes := resource.Attributes()
	for key, value := range attributes.All() {
		if known := w.layer.resource[key]; known != nil && known.kind == idType && len(w.ids) < mostIDs {
			raw := value.AsString()
			w.ids = append(w.ids, rawID{raw, w.core.ids.of(raw)})
		}
	}
	w.resource, w.target, w.info = 0, targetInfo, unasked
	attributes.RemoveIf(w.resourceAttribute)
	entity.ResourceEntityRefs(resource).RemoveIf(func(entity.EntityRef) bool { return true })
}

func (w *walk) resourceAttribute(key string, value pcommon.Value) bool {
	if w.repeated(key) {
		w.tally.drop(w.slot, attributeDuplicate)
		return true
	}
	switch key {
	case layerKey:
		return false
	case serviceName:
		if _, known := w.layer.services[value.Str()]; !known {
			w.text(value, masking.Plain, 0)
		}
		w.keep(key, value, true)
		return false
	}
	known := w.layer.resource[key]
	if known == nil {
		w.tally.drop(w.slot, attributeUnknown)
		return true
	}
	if value.Type() == pcommon.ValueTypeStr {
		for _, id := range w.ids {
			if id.raw == value.Str() && known.kind != enumType {
				value.SetStr(id.hashed)
				w.keep(key, value, true)
				return false
			}
		}
	}
	if w.typed(known, value) {
		return true
	}
	w.keep(key, value, key == instanceID || known.kind == idType)
	return false
}

// keep notes what is kept of a resource, for the budgets.
func (w *walk) keep(key string, value pcommon.Value, identifies bool) {
	if !identifies && w.signal != metricsSignal {
		return
	}
	hash := labelHash(key, value)
	w.target += hash
	if identifies {
		w.resource += hash
	}
}

// repeated tells whether a key stood in the map already.
func (w *walk) repeated(key string) bool {
	for _, seen := range w.seen {
		if seen == key {
			return true
		}
	}
	w.seen = append(w.seen, key)
	return false
}

// typed brings a value to its type, and tells whether it has to go.
func (w *walk) typed(known *typedKey, value pcommon.Value) bool {
	switch known.kind {
	case textType:
		return !w.value(value, 0, masking.Plain, 0)
	case idType:
		w.identify(value)
		return false
	}
	if known.fits(value) {
		if known.kind == routeType {
			w.text(value, masking.Plain, 0)
		}
		return false
	}
	if known.kind == versionType || known.kind == routeType || known.kind == codeType {
		if value.Type() == pcommon.ValueTypeStr { // no value of its type, but it may be harmless text
			w.tally.drop(w.slot, attributeValue)
			w.text(value, masking.Plain, 0)
			return false
		}
	}
	w.tally.drop(w.slot, attributeValue)
	return true
}

func (w *walk) identify(value pcommon.Value) {
	if raw := value.AsString(); raw != "" {
		value.SetStr(w.core.ids.of(raw))
	}
}

// attributes walks over the attributes of a span, an event, a link or a log record.
func (w *walk) attributes(attributes pcommon.Map, known map[string]*typedKey) {
	if attributes.Len() == 0 {
		return
	}
	w.seen = w.seen[:0]
	count := 0
	attributes.RemoveIf(func(key string, value pcommon.Value) bool {
		if count++; count > w.catalogue.limits.Attributes {
			w.tally.drop(w.slot, attributeCount)
			return true
		}
		if w.repeated(key) {
			w.tally.drop(w.slot, attributeDuplicate)
			return true
		}
		if listed := known[key]; listed != nil {
			return w.typed(listed, value)
		}
		if !w.layer.open {
			w.tally.drop(w.slot, attributeUnknown)
			return true
		}
		return w.openAttribute(key, value)
	})
}

// openAttribute masks an attribute that the catalogue does not have, and tells whether it has to go.
func (w *walk) openAttribute(key string, value pcommon.Value) bool {
	if key == "" || len(key) > longestKey || !utf8.ValidString(key) || key == layerKey || strings.HasPrefix(key, "__") {
		w.tally.drop(w.slot, attributeReserved)
		return true
	}
	use, class := w.core.texts.key(key)
	switch use {
	case masking.Remove, masking.Unwanted:
		w.tally.drop(w.slot, attributeSensitive)
		w.tally.mask(w.slot, class)
		return true
	case masking.Hash:
		w.identify(value)
		return false
	}
	return !w.value(value, 0, use, class)
}

// value masks a value of any type in place; false: it is nested too deeply or too large.
func (w *walk) value(value pcommon.Value, depth int, use masking.KeyUse, class masking.Class) bool {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		w.text(value, use, class)
	case pcommon.ValueTypeInt:
		if number := value.Int(); use == masking.Remove {
			w.mark(value, class)
		} else if use == masking.Precise && masking.PreciseNumber(float64(number)) {
			w.mark(value, masking.Position)
		} else if number >= 1e11 {
			if found := masking.Number(value.AsString()); found != 0 {
				w.mark(value, found)
			}
		}
	case pcommon.ValueTypeDouble:
		if number := value.Double(); use == masking.Remove {
			w.mark(value, class)
		} else if use == masking.Precise && masking.PreciseNumber(number) {
			w.mark(value, masking.Position)
		} else if number >= 1e11 && number < 1e16 && number == math.Trunc(number) {
			if found := masking.Number(value.AsString()); found != 0 {
				w.mark(value, found)
			}
		}
	case pcommon.ValueTypeBytes:
		w.bytes(value, use, class)
	case pcommon.ValueTypeMap:
		if depth >= w.catalogue.limits.Depth {
			w.tally.drop(w.slot, depthRefused)
			return false
		}
		w.nested(value.Map(), depth+1, use, class)
	case pcommon.ValueTypeSlice:
		if depth >= w.catalogue.limits.Depth {
			w.tally.drop(w.slot, depthRefused)
			return false
		}
		w.list(value.Slice(), depth+1, use, class)
	case pcommon.ValueTypeBool:
		if use == masking.Remove {
			w.mark(value, class)
		}
	}
	return true
}

func (w *walk) mark(value pcommon.Value, class masking.Class) {
	w.tally.mask(w.slot, class)
	value.SetStr(masking.Marker(class & -class))
}

// text masks a text in place, and cuts it when it is too long.
func (w *walk) text(value pcommon.Value, use masking.KeyUse, class masking.Class) {
	text := value.Str()
	most := w.catalogue.limits.ValueBytes
	changed := false
	if len(text) > most {
		text, changed = cut(text, most), true
		w.tally.drop(w.slot, sizeRefused)
	}
	masked, classes := w.masked(text, use, class)
	if classes != 0 {
		w.tally.mask(w.slot, classes)
		text, changed = masked, true
	}
	if !utf8.ValidString(text) {
		text, changed = strings.ToValidUTF8(text, "\uFFFD"), true
	}
	if changed {
		value.SetStr(text)
	}
}

func (w *walk) masked(text string, use masking.KeyUse, class masking.Class) (string, masking.Class) {
	if use == masking.Plain && class == 0 {
		return w.core.texts.fixed(text)
	}
	return masking.Valued(text, use, class)
}

// name masks a text that stands in a field of its own: a span's name, a unit, a trace state.
func (w *walk) name(text string, most int) (string, bool) {
	if text == "" {
		return text, false
	}
	changed := false
	if len(text) > most {
		text, changed = cut(text, most), true
		w.tally.drop(w.slot, sizeRefused)
	}
	if masked, classes := w.core.texts.fixed(text); classes != 0 {
		w.tally.mask(w.slot, classes)
		text, changed = masked, true
	}
	if !utf8.ValidString(text) {
		text, changed = strings.ToValidUTF8(text, "\uFFFD"), true
	}
	return text, changed
}

// bytes masks bytes that are text; of others nobody knows what they hold, so they go.
func (w *walk) bytes(value pcommon.Value, use masking.KeyUse, class masking.Class) {
	raw := value.Bytes().AsRaw()
	if len(raw) == 0 {
		return
	}
	if len(raw) > w.catalogue.limits.ValueBytes || !utf8.Valid(raw) || use == masking.Remove {
		w.mark(value, max(class, masking.Opaque))
		return
	}
	if masked, classes := masking.Valued(string(raw), use, class); classes != 0 {
		w.tally.mask(w.slot, classes)
		value.SetStr(masked)
	}
}

func (w *walk) nested(values pcommon.Map, depth int, use masking.KeyUse, class masking.Class) {
	count := 0
	pair := w.pair(values)
	values.RemoveIf(func(key string, value pcommon.Value) bool {
		if count++; count > w.catalogue.limits.Attributes {
			w.tally.drop(w.slot, attributeCount)
			return true
		}
		inner, announced := use, class
		if use != masking.Remove {
			if inner, announced = w.core.texts.key(key); inner == masking.Plain && use == masking.Precise && masking.PartOfPosition(key) {
				inner, announced = use, class
			}
		}
		switch {
		case inner == masking.Unwanted || len(key) > longestKey || !utf8.ValidString(key):
			w.tally.drop(w.slot, attributeSensitive)
			w.tally.mask(w.slot, announced)
			return true
		case inner == masking.Hash:
			w.identify(value)
			return false
		case inner == masking.Plain && key == "name":
			announced = masking.Name
		case inner == masking.Plain && class == masking.Name && masking.PartOfName(key):
			inner, announced = masking.Remove, masking.Name
		case inner == masking.Plain && masking.IsPairValue(key):
			if inner, announced = pair.Value(); inner == masking.Hash {
				w.identify(value)
				return false
			}
		}
		return !w.value(value, depth, inner, announced)
	})
}

// pair is what a map that holds a key and its value as two entries says of the value.
func (w *walk) pair(values pcommon.Map) (pair masking.Pair) {
	if values.Len() < 2 {
		return pair
	}
	count := 0
	for key, value := range values.All() {
		if count++; count > w.catalogue.limits.Attributes {
			break
		}
		if value.Type() == pcommon.ValueTypeStr && masking.IsPairKey(key) && pair.Named(value.Str()) {
			break
		}
	}
	return pair
}

func (w *walk) list(values pcommon.Slice, depth int, use masking.KeyUse, class masking.Class) {
	if size := values.Len(); size == 2 || size == 3 {
		first, second := values.At(0), values.At(1)
		if first.Type() == pcommon.ValueTypeDouble && second.Type() == pcommon.ValueTypeDouble && masking.Place(first.Double(), second.Double()) {
			for index := range size {
				w.mark(values.At(index), masking.Position)
			}
			return
		}
	}
	most := 4 * w.catalogue.limits.Attributes
	count := 0
	values.RemoveIf(func(value pcommon.Value) bool {
		if count++; count > most {
			w.tally.drop(w.slot, attributeCount)
			return true
		}
		return !w.value(value, depth, use, class)
	})
}

// measure tells how many bytes a value holds, and whether it keeps within the depth; it stops at the first excess.
func (w *walk) measure(value pcommon.Value, depth, left int) (rest int, why reason, ok bool) {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		left -= len(value.Str())
	case pcommon.ValueTypeBytes:
		left -= value.Bytes().Len()
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		if depth >= w.catalogue.limits.Depth {
			return left, depthRefused, false
		}
		if value.Type() == pcommon.ValueTypeMap {
			for key, inner := range value.Map().All() {
				if left, why, ok = w.measure(inner, depth+1, left-len(key)-8); !ok {
					return left, why, false
				}
			}
		} else {
			for _, inner := range value.Slice().All() {
				if left, why, ok = w.measure(inner, depth+1, left-8); !ok {
					return left, why, false
				}
			}
		}
	}
	return left, sizeRefused, left >= 0
}

// sound tells whether attributes keep within depth and size together.
func (w *walk) sound(attributes pcommon.Map, left int) (rest int, why reason, ok bool) {
	for key, value := range attributes.All() {
		if left, why, ok = w.measure(value, 0, left-len(key)); !ok {
			return left, why, false
		}
	}
	return left, sizeRefused, true
}

const schemas = "https://opentelemetry.io/schemas/"

// schema tells whether a schema's address is OpenTelemetry's own; any other goes.
func schema(url string) bool {
	return url == "" || strings.HasPrefix(url, schemas) && isVersion(url[len(schemas):])
}

// scope masks an instrumentation scope's name and version; its attributes go.
func (w *walk) scope(scope pcommon.InstrumentationScope) {
	if scope.Attributes().Len() > 0 {
		for range scope.Attributes().Len() {
			w.tally.drop(w.slot, attributeUnknown)
		}
		scope.Attributes().Clear()
	}
	if name, changed := w.name(scope.Name(), longestName); changed {
		scope.SetName(name)
	}
	if version := scope.Version(); version != "" && !isVersion(version) {
		if version, changed := w.name(version, longestVersion); changed {
			scope.SetVersion(version)
		}
	}
}
