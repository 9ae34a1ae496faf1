package masking

import (
	"strings"
	"testing"
	"time"
)

// Texts that would take a scanner of each kind back and forth.
func TestNoTextOfTheLongestSizeTakesLong(t *testing.T) {
	for _, piece := range []string{
		"?a=", "password=", "password is ", "authorization:", "eyJaaaa-", "sk-", "sk-1", "東京都港区", "港区あい", "〇ー", "1 ", "1.1.", "1-", "a@", "a.b@c.d ",
		"<a", "<!--", "&#", "%25", "\\u00", "{\"a\":", "[", "'", "SELECT '", "ab ", "Mr. A", "氏名:", "様", "山田太郎様", "12.3456,", "::1", "a:a:", "John ", "user=", "N1 ",
		"5 Baker St ", "a at b dot ", "口座番号", "品川 ", "AKIA", "\\\\\"", "カ・", "と申します", "worker W-1", "cookie=a=", "Basic ", "name: A ",
	} {
		text := strings.Repeat(piece, Longest/len(piece))
		began := time.Now()
		Text(text)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%q takes %s", piece, took)
		}
	}
}
