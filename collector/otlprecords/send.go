package otlprecords

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/zap"
)

const (
	mostAnswerBytes = 64 << 10
	mostReasonBytes = 512
)

// refusal is an answer that will be the same for ever: the request itself is at fault.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused with status %d: %s", r.status, r.reason)
}

// send sends records as one request, and in parts what was refused for ever.
func (e *recordExporter) send(ctx context.Context, all records) error {
	err := e.post(ctx, all)
	var refused *refusal
	if !errors.As(err, &refused) {
		return err
	}
	e.telemetry.splits.Add(ctx, 1)
	left := len(all)*e.config.MaxRequests - 1
	return e.halve(ctx, all, refused, &left)
}

// halve sends the two halves of what was refused.
func (e *recordExporter) halve(ctx context.Context, refused pieces, why *refusal, left *int) error {
	count := refused.count()
	if count == 1 {
		if within := refused.within(); within != nil {
			return e.halve(ctx, within, why, left)
		}
	}
	if count <= 1 || *left < 2 {
		e.giveUp(ctx, refused, why)
		return nil
	}
	half := count / 2
	for _, part := range []pieces{refused.part(0, half), refused.part(half, count)} {
		if *left <= 0 {
			e.giveUp(ctx, part, why)
			continue
		}
		*left--
		err := e.post(ctx, part)
		var again *refusal
		if errors.As(err, &again) {
			err = e.halve(ctx, part, again, left)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *recordExporter) giveUp(ctx context.Context, lost pieces, why *refusal) {
	e.telemetry.lost.Add(ctx, int64(lost.items()))
	e.telemetry.logger.Error("refused for ever and given up", append(lost.name(), zap.Int("items", lost.items()), zap.Error(why))...)
}

// post sends one request. Only what says that the request itself is at fault is a refusal: a server that is full, that
// knows no such user or no such path is mended, and takes the same request then.
func (e *recordExporter) post(ctx context.Context, all pieces) error {
	body, err := all.body()
	if err != nil {
		return &refusal{reason: err.Error()}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.config.ClientConfig.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	response, err := e.client.Do(request)
	if err != nil {
		e.telemetry.request(ctx, "failed")
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, mostAnswerBytes)) // what is missing of it is missing in a line only
	switch status := response.StatusCode; {
	case status >= 200 && status <= 299:
		e.telemetry.request(ctx, "taken")
		e.telemetry.sent.Add(ctx, int64(all.items()-e.rejected(ctx, all, answer)))
		return nil
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		e.telemetry.request(ctx, "refused")
		return &refusal{status: status, reason: reason(answer)}
	default:
		e.telemetry.request(ctx, "failed")
		err := fmt.Errorf("status %d: %s", status, reason(answer))
		e.telemetry.logger.Warn("the server did not take a request, which is sent again", zap.Error(err))
		return err
	}
}

// rejected is how many items an answer says were left out of what was taken.
func (e *recordExporter) rejected(ctx context.Context, all pieces, answer []byte) int {
	if len(answer) == 0 {
		return 0
	}
	said := pmetricotlp.NewExportResponse()
	if said.UnmarshalProto(answer) != nil {
		return 0
	}
	rejected := int(min(max(said.PartialSuccess().RejectedDataPoints(), 0), int64(all.items())))
	if rejected > 0 {
		e.telemetry.lost.Add(ctx, int64(rejected))
		e.telemetry.logger.Error("left out by the server", zap.Int("items", rejected), zap.String("why", said.PartialSuccess().ErrorMessage()))
	}
	return rejected
}

func reason(answer []byte) string {
	return strings.ToValidUTF8(strings.TrimSpace(string(answer[:min(len(answer), mostReasonBytes)])), "?")
}
