package login

import (
	"io"

	"github.com/klauspost/compress/zstd"
	_ "github.com/mostynb/go-grpc-compression/nonclobbering/zstd" // what the gRPC servers of collectors offer, registered before ours
	"google.golang.org/grpc/encoding"
)

// largestWindow is what a decoder may set aside for what a frame refers back to: a frame names its window before anything of it
// is unpacked, and without a bound a few bytes have 512 MiB set aside. Frames of usual levels stay below.
const largestWindow = 2 << 20

func init() { encoding.RegisterCompressor(zstdWithin{encoding.GetCompressor("zstd")}) }

// zstdWithin unpacks messages of gRPC whose frames have a window of largestWindow at most.
type zstdWithin struct{ encoding.Compressor }

// Decompress fails for a larger window as for a damaged frame, when the message is read.
func (zstdWithin) Decompress(from io.Reader) (io.Reader, error) {
	return zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(largestWindow))
}
