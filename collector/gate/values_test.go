package gate

import "testing"

func TestACodeMayBeTheTypeOfAGoError(t *testing.T) {
	for text, ok := range map[string]bool{"*net.OpError": true, "net/http.ErrServerClosed": true, "a*b": false, "**x": false, "": false, "a b": false} {
		if isCode(text) != ok {
			t.Errorf("isCode(%q) is %t", text, !ok)
		}
	}
}
