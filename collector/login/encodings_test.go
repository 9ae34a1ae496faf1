package login

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// frame is a frame of RFC 8878 that says nothing but its window, so many octaves above 1 KiB, and some blocks of zeros.
func frame(octaves byte, blocks int) []byte {
	content := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, octaves << 3}
	for range blocks {
		content = append(content, 0x42, 0, 0, 0) // eight times the byte 0; more blocks come
	}
	return content
}

func unpacked(content []byte) ([]byte, error) {
	reader, err := encoding.GetCompressor("zstd").Decompress(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

func TestAMessageInZstdIsUnpackedAsItWasPacked(t *testing.T) {
	text := bytes.Repeat([]byte("観測 telemetry "), 50_000)
	var packed bytes.Buffer
	writer, err := encoding.GetCompressor("zstd").Compress(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := unpacked(packed.Bytes()); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes: %v", len(got), len(text), err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(largestWindow))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unpacked(encoder.EncodeAll(text, nil)); err != nil || !bytes.Equal(got, text) {
		t.Errorf("with the largest window: %d of %d bytes: %v", len(got), len(text), err)
	}
}

func TestAFrameThatAsksForALargeWindowIsRefusedBeforeItGetsOne(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := unpacked(frame(19, 8)) // 2^29
	runtime.ReadMemStats(&after)
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("error is %v", err)
	}
	if added := after.TotalAlloc - before.TotalAlloc; added > 8<<20 {
		t.Errorf("%d bytes were set aside for it", added)
	}
	if _, err := unpacked(frame(11, 8)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("2 MiB, and then nothing: %v", err)
	}
}
