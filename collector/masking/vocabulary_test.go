package masking

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// vocabulary is the definition of clean texts: see testdata/vocabulary.yaml.
type vocabulary struct {
	Times  int                 `yaml:"times"`
	Values map[string][]string `yaml:"values"`
	Texts  []string            `yaml:"texts"`
}

var slot = regexp.MustCompile(`\{([\p{L}]+)\}`)

// cleanTexts are all texts of the definition. Slots of one text move through their values at paces of their own.
func cleanTexts(t testing.TB) (texts []string) {
	content, err := os.ReadFile("testdata/vocabulary.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var defined vocabulary
	if err := yaml.Unmarshal(content, &defined); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for line, template := range defined.Texts {
		for turn := range defined.Times {
			place := 0
			texts = append(texts, slot.ReplaceAllStringFunc(template, func(named string) string {
				name := strings.Trim(named, "{}")
				values, known := defined.Values[name]
				if !known {
					return named // part of the text: a route's placeholder
				}
				used[name] = true
				place++
				return values[(turn+line*7+place*3)%len(values)]
			}))
		}
	}
	for name := range defined.Values {
		if !used[name] {
			t.Errorf("no text uses {%s}", name)
		}
	}
	return texts
}

func TestAThousandCleanTextsStayAsTheyAre(t *testing.T) {
	distinct, changed := map[string]bool{}, 0
	for _, text := range cleanTexts(t) {
		if distinct[text] {
			t.Errorf("%q is made twice", text)
		}
		distinct[text] = true
		if masked, classes := Valued(text, Plain, 0); masked != text {
			changed++
			t.Errorf("%q became %q (%b)", text, masked, classes)
		}
	}
	if len(distinct) < 1000 {
		t.Errorf("%d distinct texts, want a thousand", len(distinct))
	}
	t.Logf("%d of %d clean texts changed", changed, len(distinct))
}

func BenchmarkCleanVocabulary(b *testing.B) {
	texts := cleanTexts(b)
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, text := range texts {
			Valued(text, Plain, 0)
		}
	}
}
