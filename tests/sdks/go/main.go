// Command client is a small service as docs/ingest.md starts it; `client NUMBER` sends one metric, trace and log with
// this number.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log/global"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const name = "work-api"

// telemetry sets the providers of the three signals up from the variables of the environment. What it returns sends
// the rest.
func telemetry(ctx context.Context) (func(context.Context) error, error) {
	spans, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	points, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, err
	}
	records, err := otlploghttp.New(ctx)
	if err != nil {
		return nil, err
	}
	own, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, err
	}
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(own))
	metrics := sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(points)), sdkmetric.WithResource(own))
	logs := sdklog.NewLoggerProvider(
		sdklog.WithProcessor(sdklog.NewBatchProcessor(records)), sdklog.WithResource(own))
	otel.SetTracerProvider(traces)
	otel.SetMeterProvider(metrics)
	global.SetLoggerProvider(logs)
	shutdown := func(ctx context.Context) error {
		return errors.Join(traces.Shutdown(ctx), metrics.Shutdown(ctx), logs.Shutdown(ctx))
	}
	return shutdown, runtime.Start()
}

// call has a server answer requests, and a port without one refuse a request.
func call(ctx context.Context, logger *slog.Logger) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/works/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/api/failing", func(answer http.ResponseWriter, _ *http.Request) {
		answer.WriteHeader(http.StatusInternalServerError)
	})
	server := httptest.NewServer(otelhttp.NewHandler(mux, name))
	defer server.Close()
	client := http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	for _, path := range []string{"/api/works/12", "/api/failing", "/nowhere"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		logger.WarnContext(ctx, "a request was answered", "http.response.status_code", answer.StatusCode)
		if err := answer.Body.Close(); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:1/refused", nil)
	if err != nil {
		return err
	}
	if _, err := client.Do(request); err != nil {
		logger.ErrorContext(ctx, "no connection", "error.message", err.Error())
	}
	return nil
}

// send serves and calls itself, then sends what is numbered.
func send(ctx context.Context, number int64) error {
	logger := otelslog.NewLogger(name)
	work := trace.WithAttributes(attribute.String("work.id", strconv.FormatInt(number, 10)))
	ctx, span := otel.Tracer(name).Start(ctx, "work", work)
	defer span.End()
	if err := call(ctx, logger); err != nil {
		return err
	}
	events, err := otel.Meter(name).Int64Counter("work_event.processed", metric.WithUnit("{event}"))
	if err != nil {
		return err
	}
	events.Add(ctx, number)
	logger.ErrorContext(ctx, fmt.Sprintf("work %d failed", number))
	span.SetStatus(codes.Error, "")
	fmt.Println("trace", span.SpanContext().TraceID())
	return nil
}

func run(ctx context.Context) error {
	number, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		return err
	}
	shutdown, err := telemetry(ctx)
	if err != nil {
		return err
	}
	return errors.Join(send(ctx, number), shutdown(ctx))
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
