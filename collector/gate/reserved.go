package gate

import (
	"strings"

	"obs-platform/collector/masking"
)

const (
	layerKey      = "layer"
	serviceName   = "service.name"
	instanceID    = "service.instance.id"
	longestName   = 255
	longestKey    = 256
	otherSpanName = "other"
)

// patterns are names, exact or with any rest.
type patterns struct {
	exact    map[string]struct{}
	prefixes []string
}

func (c *compiler) patterns(what string, texts []string) patterns {
	made := patterns{exact: map[string]struct{}{}}
	for _, text := range texts {
		switch star := strings.IndexByte(text, '*'); {
		case star < 0 && text != "":
			made.exact[text] = struct{}{}
		case star > 0 && star == len(text)-1:
			made.prefixes = append(made.prefixes, text[:star])
		default:
			c.wrong("%s %q: allowed is a name, or the beginning of names and a star", what, text)
		}
	}
	return made
}

func (p patterns) match(name string) bool {
	if _, ok := p.exact[name]; ok {
		return true
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// matchMetric compares a metric's name as Prometheus will spell it, with whatever it adds: a suffix for the kind, and the
// unit, which the client chooses where the catalogue has none.
func (p patterns) matchMetric(name string) bool {
	spelled := prometheusName(name)
	if p.match(spelled) {
		return true
	}
	for reserved := range p.exact {
		if strings.HasPrefix(reserved, spelled+"_") { // up + _total, foo + _count
			return true
		}
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(prefix, spelled+"_") { // kafka with the unit controller_offlinepartitionscount
			return true
		}
	}
	return false
}

// prometheusName is a metric's name in Prometheus before it adds unit and kind: words joined by single underscores.
func prometheusName(name string) string {
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == ':')
	}), "_")
}

// metricName tells whether a name is one that OpenTelemetry allows: no colon, which names rules.
func metricName(name string) bool {
	if name == "" || len(name) > longestName || !letter(name[0]) {
		return false
	}
	for index := range len(name) {
		if c := name[index]; !letter(c) && !digit(c) && c != '.' && c != '_' && c != '-' && c != '/' {
			return false
		}
	}
	return true
}

// reservedLabel tells whether Prometheus would spell a key as a label of the platform's.
func reservedLabel(key string, labels map[string]struct{}) bool {
	if key == "" || len(key) > longestKey || strings.HasPrefix(key, "__") || digit(key[0]) {
		return true
	}
	if len(key) == 1 && !letter(key[0]) { // it would be spelled _, to which Prometheus answers 500, for ever
		return true
	}
	if _, ok := labels[key]; ok {
		return true
	}
	spelled := []byte(key)
	changed := false
	for index, c := range spelled {
		if !letter(c) && !digit(c) && c != '_' {
			spelled[index] = '_'
			changed = true
		}
	}
	if !changed {
		return false
	}
	_, ok := labels[string(spelled)]
	return ok || strings.HasPrefix(string(spelled), "__")
}

// reservedService compares as people read: without regard to case, blanks and invisible characters.
func (c *catalogue) reservedService(name string) bool {
	plain := strings.ToLower(strings.TrimSpace(name))
	if c.services.match(plain) {
		return true
	}
	for index := range len(plain) {
		if plain[index] >= 0x80 {
			return c.services.match(strings.TrimSpace(masking.Fold(plain)))
		}
	}
	return false
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
