package masking

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

const (
	// part is how much shorter the text is that the longest one is compared with.
	part = 16
	// slack is what the longest text may take beyond part times the short one; the square of part would be 256.
	slack = 4
	tries = 8
	// threadClock is CLOCK_THREAD_CPUTIME_ID of clock_gettime(2), which package syscall does not name.
	threadClock = 3
)

// fastest is the least time of the processor that Text took of several runs, whatever else the machine does meanwhile.
func fastest(t *testing.T, text string, runs int, enough time.Duration) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := time.Duration(1<<63 - 1)
	for range runs {
		began := processorTime(t)
		Text(text)
		if least = min(least, processorTime(t)-began); least <= enough {
			break
		}
	}
	return least
}

// processorTime is what the calling thread has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var now syscall.Timespec
	if _, _, code := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadClock, uintptr(unsafe.Pointer(&now)), 0); code != 0 {
		t.Fatal(code)
	}
	return time.Duration(now.Nano())
}

// Texts that would take a scanner of each kind back and forth: the time grows with their length, not with its square.
func TestTheTimeOfAnyTextGrowsWithItsLength(t *testing.T) {
	for _, piece := range []string{
		"?a=", "password=", "password is ", "authorization:", "eyJaaaa-", "sk-", "sk-1", "東京都港区", "港区あい", "〇ー", "1 ", "1.1.", "1-", "a@", "a.b@c.d ",
		"<a", "<!--", "&#", "%25", "\\u00", "{\"a\":", "[", "'", "SELECT '", "ab ", "Mr. A", "氏名:", "様", "山田太郎様", "12.3456,", "::1", "a:a:", "John ", "user=", "N1 ",
		"5 Baker St ", "a at b dot ", "口座番号", "品川 ", "AKIA", "\\\\\"", "カ・", "と申します", "worker W-1", "cookie=a=", "Basic ", "name: A ",
		`"a":`, `"":`, `':`, `"password":"`, `"password":[`, `{"password":`, `"value":[`, `"value":"`, `"value":"x","key":"password",`, `"key":"a "b `, `"lat":[1,`,
		`"name":{`, `"name":"password",`, `{"value":"x","name":"password"},`, `\"a\":\"`,
	} {
		short := fastest(t, strings.Repeat(piece, Longest/part/len(piece)), tries, 0)
		limit := short*part*slack + time.Millisecond
		if took := fastest(t, strings.Repeat(piece, Longest/len(piece)), tries, limit); took > limit {
			t.Errorf("%q takes %s in a text of %d bytes, %s in one of %d", piece, took, Longest, short, Longest/part)
		}
	}
}
