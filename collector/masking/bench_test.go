package masking

import "testing"

var benchTexts = map[string]string{
	"ascii":         "segment 12 of recording was not stored after 3 attempts: no answer from the object storage, next try in 30 s",
	"japanese":      "録画セグメント 12 を保存できませんでした。3 回試行しましたが、オブジェクトストレージから応答がありません",
	"route":         "/v1/streams/{stream}/segments",
	"word":          "worker-1",
	"json":          `{"event":"recording.failed","attempt":3,"error":{"type":"timeout","after":"30s"},"stage":"store"}`,
	"json-prefix":   `2026-11-27T10:00:00Z INFO request {"event":"recording.failed","attempt":3,"error":{"type":"timeout","after":"30s"},"stage":"store"}`,
	"json-in-json":  `{"event":"recording.failed","payload":"{\"attempt\":3,\"error\":{\"type\":\"timeout\",\"after\":\"30s\"}}","stage":"store"}`,
	"json-japanese": `{"イベント":"録画失敗","attempt":3,"理由":"オブジェクトストレージから応答がありません","stage":"保存"}`,
	"json-dirty":    `{"event":"login","氏名":"佐藤 花子","password":"hunter22","phone":9012345678}`,
	"dirty":         "作業者: 佐藤 花子 (090-1234-5678, hanako@example.co.jp) が 35.681236, 139.767125 で録画を開始",
	"stack":         "java.lang.IllegalStateException: no such recording\n\tat com.example.Recorder.find(Recorder.java:42)\n\tat com.example.Main.main(Main.java:7)",
}

func BenchmarkText(b *testing.B) {
	for name, text := range benchTexts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Text(text)
			}
		})
	}
}
