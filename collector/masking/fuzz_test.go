package masking

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func seeds(f *testing.F) {
	for _, r := range dirtyRecords(f) {
		f.Add(r.text(f))
	}
	for _, text := range benchTexts {
		f.Add(text)
	}
	f.Add("%25%32%35&amp;#38;\\u005cu0040<b<b><!--")
	f.Add("\xff\xfe様\x80さん")
}

// FuzzText: masking ends, gives valid text for valid text, and finds nothing new in what it has masked of plain ASCII.
func FuzzText(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > Longest {
			return
		}
		masked, classes := Text(text)
		if classes == 0 && masked != text {
			t.Fatalf("changed without a class: %q became %q", text, masked)
		}
		if classes != 0 && !containsMarker(masked) {
			t.Fatalf("%q has a class and no marker: %q", text, masked)
		}
		if utf8.ValidString(text) && classes == 0 && !utf8.ValidString(masked) {
			t.Fatalf("%q is no valid text any more", masked)
		}
	})
}

func containsMarker(text string) bool {
	for _, marker := range markers {
		if strings.Contains(text, marker) || strings.Contains(text, strings.Trim(marker, "[]")) {
			return true
		}
	}
	return false
}

// FuzzSurroundings: a secret stays found in whatever plain text it stands.
func FuzzSurroundings(f *testing.F) {
	f.Add("before ", " after")
	f.Add("録画を開始: ", "、以上")
	f.Add(`{"m": "`, `"}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 1000 || !utf8.ValidString(before+after) {
			return
		}
		for _, secret := range []string{"taro.yamada@example.co.jp", "090-1234-5678", "AKIAIOSFODNN7EXAMPLE", "山田太郎様", "4111 1111 1111 1111"} {
			text := before + " " + secret + " " + after
			masked, _ := Text(text)
			if strings.Contains(masked, secret) && !strings.Contains(before+after, secret) {
				t.Fatalf("%q is readable in %q", secret, masked)
			}
		}
	})
}

// FuzzMembers: what a key of a JSON object announces is masked in whatever the object stands.
func FuzzMembers(f *testing.F) {
	f.Add("INFO request ", " done")
	f.Add(`{"a":[`, `,{"b":"cut o`)
	f.Add(`{"id":"`, `"}`)
	f.Add(`"password":"`, "<!--")
	f.Add(`{"value":[{`, `],"key":"lat"}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 1000 || !utf8.ValidString(before+after) {
			return
		}
		for secret, member := range map[string]string{
			"hunter22zq": `"password":"hunter22zq"`, "九十九里": `"氏名" : "九十九里"`, "8675309": `"phone":8675309`, "q8Zr2LmN4x": `"name":"token","value":"q8Zr2LmN4x"`,
		} {
			text := before + " {" + member + "} " + after
			masked, _ := Text(text)
			if strings.Contains(masked, secret) && !strings.Contains(before+after, secret) {
				t.Fatalf("%q is readable in %q", secret, masked)
			}
		}
	})
}

// FuzzKey: a key is decided about, and alike each time.
func FuzzKey(f *testing.F) {
	for _, r := range dirtyRecords(f) {
		f.Add(r.Key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		use, class := Key(key)
		again, sameClass := Key(key)
		if use != again || class != sameClass {
			t.Fatalf("%q: %d and %d", key, use, again)
		}
		if use == Unwanted && class == 0 {
			t.Fatalf("%q is unwanted without a class", key)
		}
	})
}

// FuzzNormalise: normalising ends and is bounded.
func FuzzNormalise(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		folded := Fold(text)
		if len(folded) > 32*len(text)+64 {
			t.Fatalf("%d bytes became %d", len(text), len(folded))
		}
	})
}
