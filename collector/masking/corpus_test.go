package masking

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/unicode/norm"
)

// record is one entry of the corpora in tests/support/dirty: what a client sends, and what must not be readable.
type record struct {
	ID      string   `yaml:"id"`
	At      string   `yaml:"at"`
	Key     string   `yaml:"key"`
	Value   any      `yaml:"value"`
	Secrets []string `yaml:"secrets"`
}

func corpus(t testing.TB, path string) []record {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	if err := yaml.Unmarshal(content, &records); err != nil {
		t.Fatal(err)
	}
	return records
}

func dirtyRecords(t testing.TB) (records []record) {
	for _, name := range []string{"japanese", "english", "nasty"} {
		records = append(records, corpus(t, filepath.Join("../../tests/support/dirty", name+".yaml"))...)
	}
	return append(records, corpus(t, "testdata/dirty.yaml")...)
}

// text is what the gate hands to masking: the value with its key's use, maps and lists as JSON.
func (r record) text(t testing.TB) string {
	if text, ok := r.Value.(string); ok {
		return text
	}
	encoded, err := json.Marshal(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func (r record) masked(t testing.TB) string {
	use, class := Plain, Class(0)
	if r.Key != "" {
		use, class = Key(r.Key)
	}
	if use == Unwanted {
		return ""
	}
	masked, _ := Valued(r.text(t), use, class)
	return r.Key + "=" + masked
}

func readableIn(text string, secrets []string) (found []string) {
	tidy := norm.NFKC.String(dropInvisible(text))
	for _, secret := range secrets {
		if strings.Contains(text, secret) || strings.Contains(tidy, norm.NFKC.String(dropInvisible(secret))) {
			found = append(found, secret)
		}
	}
	return found
}

func TestNoSecretOfTheCorporaIsReadableAfterwards(t *testing.T) {
	for _, r := range dirtyRecords(t) {
		if len(r.Secrets) == 0 {
			t.Errorf("%s names no secret", r.ID)
		}
		if found := readableIn(r.masked(t), r.Secrets); found != nil {
			t.Errorf("%s: %q is readable in %q", r.ID, found, r.masked(t))
		}
	}
}

func TestCleanTextStaysAsItIs(t *testing.T) {
	changed, total := 0, 0
	for _, r := range append(corpus(t, "../../tests/support/dirty/clean.yaml"), corpus(t, "testdata/clean.yaml")...) {
		text, ok := r.Value.(string)
		if !ok {
			continue
		}
		if r.Key == "segment.id" || r.Key == "stream.id" || r.Key == "build.id" || r.Key == "service.version" {
			continue // typed by the catalogue: not searched
		}
		total++
		use, class := Plain, Class(0)
		if r.Key != "" {
			use, class = Key(r.Key)
		}
		if masked, classes := Valued(text, use, class); masked != text {
			changed++
			t.Errorf("%s: %q became %q (%b)", r.ID, text, masked, classes)
		}
	}
	t.Logf("%d of %d clean texts changed", changed, total)
}

// The records of the security review lie beside the repository.
const reviewed = "../../../shared/security/masking-records.json"

func TestNoSecretOfTheReviewIsReadableAfterwards(t *testing.T) {
	content, err := os.ReadFile(reviewed)
	if err != nil {
		t.Skipf("the records of the review are not here: %v", err)
	}
	var records []struct {
		ID, Where, Key, Secret string
		Value                  any
		Hex                    bool `json:"value_is_hex_of_bytes"`
	}
	if err := json.Unmarshal(content, &records); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.ID == "mynumber-int" {
			r.Value = "123456789018" // a number in JSON
		}
		if r.Hex {
			plain, err := hex.DecodeString(r.Value.(string))
			if err != nil {
				t.Fatal(err)
			}
			r.Value = string(plain)
		}
		one := record{ID: r.ID, Key: r.Key, Value: r.Value, Secrets: []string{r.Secret}}
		if found := readableIn(one.masked(t), one.Secrets); found != nil {
			t.Errorf("%s: %q is readable in %q", r.ID, found, one.masked(t))
		}
	}
}
