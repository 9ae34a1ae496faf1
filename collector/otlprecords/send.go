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
	// mostFaults is how many parts may be answered with a fault of the server, and none be taken, until it is at fault:
	// enough to get from many points down to one.
	mostFaults = 40
)

// refusal is an answer that may be the same for ever.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.reason) }

// fault says that the answer blames the server. Prometheus gives it to what it cannot translate, and also when its disk
// is full: only what it takes meanwhile tells which.
func (r *refusal) fault() bool { return r.status == http.StatusInternalServerError }

// division is the search for what is at fault in one request.
type division struct {
	left   int // requests
	taken  bool
	faults int
	blamed []blame
}

type blame struct {
	pieces
	why *refusal
}

func (d *division) add(lost pieces, why *refusal) { d.blamed = append(d.blamed, blame{lost, why}) }

// unproved says that the server may be at fault and not the request.
func (d *division) unproved() *refusal {
	if !d.taken {
		for _, one := range d.blamed {
			if one.why.fault() {
				return one.why
			}
		}
	}
	return nil
}

// send sends records as one request, and in parts what was refused.
func (e *recordExporter) send(ctx context.Context, all records) error {
	err := e.post(ctx, all)
	var refused *refusal
	if !errors.As(err, &refused) {
		return err
	}
	e.telemetry.splits.Add(ctx, 1)
	d := &division{left: len(all)*e.config.MaxRequests - 1}
	if err := e.divide(ctx, d, all, refused); err != nil {
		return err
	}
	if why := d.unproved(); why != nil {
		return why
	}
	for _, lost := range d.blamed {
		e.telemetry.lost.Add(ctx, int64(lost.items()))
		e.telemetry.logger.Error("refused for ever and given up", append(lost.name(), zap.Int("items", lost.items()), zap.Error(lost.why))...)
	}
	return nil
}

// divide sends the two halves of what was refused, and divides further what is refused of them.
func (e *recordExporter) divide(ctx context.Context, d *division, refused pieces, why *refusal) error {
	count := refused.count()
	if count == 1 {
		if within := refused.within(); within != nil {
			return e.divide(ctx, d, within, why)
		}
	}
	if count <= 1 || d.left < 2 {
		d.add(refused, why)
		return nil
	}
	half := count / 2
	var further []blame
	for _, part := range []pieces{refused.part(0, half), refused.part(half, count)} {
		d.left--
		err := e.post(ctx, part)
		var again *refusal
		switch {
		case err == nil:
			d.taken = true
		case !errors.As(err, &again):
			return err
		default:
			if again.fault() {
				if d.faults++; d.faults > mostFaults && !d.taken {
					return err
				}
			}
			further = append(further, blame{part, again})
		}
	}
	for _, part := range further {
		if err := e.divide(ctx, d, part.pieces, part.why); err != nil {
			return err
		}
	}
	return nil
}

// post sends one request. What says neither that it was taken nor that it is to blame is mended at the server, which takes
// the same request then: it knows no such user, no such path, or is not there.
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
	refused := &refusal{status: response.StatusCode, reason: reason(answer)}
	switch status := response.StatusCode; {
	case status >= 200 && status <= 299:
		e.telemetry.request(ctx, "taken")
		e.telemetry.sent.Add(ctx, int64(all.items()-e.rejected(ctx, all, answer)))
		return nil
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		e.telemetry.request(ctx, "refused")
		return refused
	case refused.fault():
		e.telemetry.request(ctx, "failed")
		return refused
	default:
		e.telemetry.request(ctx, "failed")
		return errors.New(refused.Error())
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
