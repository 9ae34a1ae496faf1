package gate

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// member is one member of a JSON object: dirty with what must not stay readable, clean without.
type member struct {
	Key    string `yaml:"key"`
	Value  any    `yaml:"value"`
	Secret string `yaml:"secret"`
}

func jsonFields(t testing.TB, kind string) (members []member) {
	t.Helper()
	content, err := os.ReadFile("testdata/json_" + kind + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func encoded(t testing.TB, value any) string {
	t.Helper()
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// escaped writes every letter and sign within the strings of a JSON text as \uXXXX.
func escaped(text string) string {
	var out strings.Builder
	inside := false
	for _, r := range text {
		if r == '"' {
			inside = !inside
		}
		if r == '"' || !inside {
			out.WriteRune(r)
			continue
		}
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return out.String()
}

func nestedIn(depth int, value any) any {
	for range depth {
		value = map[string]any{"inner": value}
	}
	return value
}

// bodyShapes are the ways in which applications put an object into a body.
func bodyShapes(t testing.TB, key string, value any) map[string]any {
	object := map[string]any{key: value}
	text := encoded(t, object)
	twice := encoded(t, map[string]any{"event": "job", "payload": text})
	manyParts := strings.Repeat("1,", 5000)
	return map[string]any{
		"object":                text,
		"indented":              "  \n" + strings.Replace(text, ":", " :\t", 1),
		"behind a prefix":       "2026-11-27T10:00:00Z INFO worker request " + text,
		"behind a key":          "payload=" + text + " done",
		"second line":           `{"event":"start"}` + "\n" + text,
		"cut off":               `{"event":"start","items":[` + text + `,{"next":"wor`,
		"within arrays":         `[[` + text + `]]`,
		"within objects":        encoded(t, nestedIn(6, object)),
		"too deep":              encoded(t, nestedIn(30, object)),
		"many parts":            `[` + manyParts + text + `]`,
		"JSON in JSON":          twice,
		"JSON in JSON in JSON":  encoded(t, []string{twice}),
		"four times":            encoded(t, []string{encoded(t, []string{twice})}),
		"six times":             encoded(t, encoded(t, encoded(t, encoded(t, twice)))),
		"escapes":               escaped(text),
		"escapes in JSON":       encoded(t, map[string]any{"payload": escaped(text)}),
		"array of the value":    encoded(t, map[string]any{key: []any{value}}),
		"pairs":                 encoded(t, []any{map[string]any{"key": key, "value": value}}),
		"pairs, value first":    encoded(t, []any{pairText(t, "value", value, "name", key)}),
		"pairs with a type":     pairText(t, "name", key, "type", "text", "value", value),
		"pairs within a text":   "params: " + pairText(t, "name", key, "type", "text", "value", value),
		"value first in a text": "params: " + pairText(t, "val", value, "field", key),
		"pairs of OTLP":         encoded(t, map[string]any{"key": key, "value": map[string]any{"stringValue": value}}),
		"quoted behind a key":   "payload=" + encoded(t, text) + " done",
		"Python":                "got " + strings.ReplaceAll(encoded(t, map[string]any{"event": "job", key: value}), `"`, `'`),
		"structured":            object,
		"structured in a list":  map[string]any{"items": []any{object}},
		"structured list":       map[string]any{key: []any{value}},
		"structured pairs":      []any{map[string]any{"key": key, "value": value}},
		"text in structured":    map[string]any{"payload": text},
		"escapes in structured": map[string]any{"payload": twice},
		"bytes":                 []byte(text),
	}
}

// pairText is a JSON object with its members in the given order.
func pairText(t testing.TB, pairs ...any) string {
	t.Helper()
	members := make([]string, 0, len(pairs)/2)
	for at := 0; at < len(pairs); at += 2 {
		members = append(members, encoded(t, pairs[at])+":"+encoded(t, pairs[at+1]))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// resolved undoes JSON's escapes as often as somebody would who reads JSON in JSON.
func resolved(text string) string {
	all := text
	for range 8 {
		next := unescaped(text)
		if next == text {
			break
		}
		all, text = all+"\n"+next, next
	}
	return all
}

func unescaped(text string) string {
	var out strings.Builder
	for at := 0; at < len(text); at++ {
		if text[at] != '\\' || at+1 == len(text) {
			out.WriteByte(text[at])
			continue
		}
		at++
		var r rune
		if text[at] == 'u' && at+4 < len(text) {
			if _, err := fmt.Sscanf(text[at+1:at+5], "%04x", &r); err == nil {
				out.WriteRune(r)
				at += 4
				continue
			}
		}
		out.WriteByte(text[at])
	}
	return out.String()
}

func TestNothingDirtyIsReadableInAJSONBody(t *testing.T) {
	gates := allGates(t)
	for _, f := range jsonFields(t, "dirty") {
		for shape, body := range bodyShapes(t, f.Key, f.Value) {
			r := record{ID: shape, At: "log.body", Value: body, Secrets: []string{f.Secret}}
			if _, after := r.sent(t, gates); readable(resolved(after), r.Secrets) != nil {
				t.Errorf("%s of %q: %q is readable in %.400s", shape, f.Key, f.Secret, after)
			}
		}
	}
}

// What is sensitive because of the object around it, whatever the members themselves say.
func TestPartsOfANameAndOfAPositionAreMaskedInAJSONBody(t *testing.T) {
	gates := allGates(t)
	for object, secret := range map[string]string{
		`{"name":{"first":"Xu","last":"Weizhou"}}`:                        "Weizhou",
		`{"name":{"title":"Dr","sei":"大友","mei":"栄子"}}`:                   "大友",
		`{"coordinates":{"x":139.767125,"y":35.681236}}`:                  "35.681236",
		`{"location":{"lat":{"doubleValue":35.681236},"at":"gate 4"}}`:    "35.681236",
		`{"type":"Point","coordinates":[[139.767125,35.681236]]}`:         "139.767125",
		`{"headers":[{"name":"Authorization","values":["q8Zr2LmN4x"]}]}`:  "q8Zr2LmN4x",
		`{"fields":[{"id":"氏名","type":"text","required":true,"値":"大友"}]}`: "大友",
	} {
		var value any
		if err := json.Unmarshal([]byte(object), &value); err != nil {
			t.Fatal(err)
		}
		for shape, body := range map[string]any{"object": object, "prefix": "got " + object, "cut off": `{"a":[` + object + `,"b`, "structured": value} {
			r := record{ID: shape, At: "log.body", Value: body, Secrets: []string{secret}}
			if _, after := r.sent(t, gates); readable(after, r.Secrets) != nil {
				t.Errorf("%s of %s: %q is readable in %.400s", shape, object, secret, after)
			}
		}
	}
}

func TestACleanJSONBodyStaysAsItIs(t *testing.T) {
	gates := allGates(t)
	for _, f := range jsonFields(t, "clean") {
		for shape, body := range bodyShapes(t, f.Key, f.Value) {
			r := record{ID: shape, At: "log.body", Value: body}
			if before, after := r.sent(t, gates); before != after {
				t.Errorf("%s of %q: %.400s became %.400s", shape, f.Key, before, after)
			}
		}
	}
}
