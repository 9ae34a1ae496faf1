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
	// mostFaults is how many parts may be answered with a fault of the server, and none be taken, until it is asked for a
	// proof that it takes anything: enough to get from many points down to one.
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
	left   int  // requests
	proved bool // the server took something a moment ago
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

// send sends records as one request, and in parts what was refused. Where the server answered with faults and took nothing
// of this, it has to take what it took before; then what it still refuses is at fault, if it takes that again afterwards.
func (e *recordExporter) send(ctx context.Context, all records) error {
	d := &division{left: len(all) * e.config.MaxRequests}
	why, err := e.search(ctx, d, all)
	if why != nil && e.proved(ctx) {
		d = &division{left: len(all) * e.config.MaxRequests, proved: true}
		if why, err = e.search(ctx, d, all); why != nil && e.proved(ctx) {
			why = nil
		}
	}
	if err != nil {
		return err
	}
	if why != nil {
		return why
	}
	for _, lost := range d.blamed {
		e.telemetry.lost.Add(ctx, int64(lost.items()))
		e.telemetry.logger.Error("refused for ever and given up", append(lost.name(), zap.Int("items", lost.items()), zap.Error(lost.why))...)
	}
	return nil
}

// search sends records, and in parts what is refused; it says why the server may be at fault, and nobody else is known to be.
func (e *recordExporter) search(ctx context.Context, d *division, all records) (*refusal, error) {
	d.left--
	err := e.post(ctx, all)
	var refused, fault *refusal
	if !errors.As(err, &refused) {
		return nil, err
	}
	e.telemetry.splits.Add(ctx, 1)
	switch err := e.divide(ctx, d, all, refused); {
	case errors.As(err, &fault):
		return fault, nil
	case err != nil:
		return nil, err
	}
	return d.unproved(), nil
}

// proved says that the server takes a point that it took before: it writes that one too, but an empty request nowhere, so
// that even a full disk would take that.
func (e *recordExporter) proved(ctx context.Context) bool {
	known := e.known.Load()
	if known == nil {
		return false
	}
	within := records{*known}.within()
	return within != nil && within.count() > 0 && e.post(ctx, proof{within.part(0, 1)}) == nil
}

// proof has been counted when it was taken first.
type proof struct{ pieces }

func (proof) items() int { return 0 }

// divide sends the two halves of what was refused, and divides further what is refused of them, until single pieces are
// left or no request is.
func (e *recordExporter) divide(ctx context.Context, d *division, refused pieces, why *refusal) error {
	var waiting queue
	waiting.add(suspect{pieces: refused, why: why, before: true, after: true})
	for {
		one, ok := d.next(&waiting)
		if !ok {
			return nil
		}
		if one.count() == 1 {
			if within := one.within(); within != nil {
				one.pieces = within
			}
		}
		if one.count() <= 1 || d.left < 2 {
			d.add(one.pieces, one.why)
			continue
		}
		if err := e.halve(ctx, d, one, &waiting); err != nil {
			return err
		}
	}
}

// next is what is divided next. As long as the server may be at fault, the way to what it takes is the shortest one.
func (d *division) next(waiting *queue) (suspect, bool) {
	if d.faults > 0 && !d.taken && !d.proved {
		if one, ok := waiting.smallestFault(); ok {
			return one, true
		}
	}
	return waiting.next()
}

// halve sends two halves; those that are refused are to wait.
func (e *recordExporter) halve(ctx context.Context, d *division, one suspect, waiting *queue) error {
	count := one.count()
	halves := [2]pieces{one.part(0, count/2), one.part(count/2, count)}
	var why [2]*refusal
	for number, half := range halves {
		d.left--
		err := e.post(ctx, half)
		switch {
		case err == nil:
			d.taken = true
		case !errors.As(err, &why[number]):
			return err
		case why[number].fault():
			if d.faults++; d.faults > mostFaults && !d.taken && !d.proved {
				return err
			}
		}
	}
	if why[0] != nil {
		waiting.add(suspect{pieces: halves[0], why: why[0], before: one.before, after: why[1] == nil})
	}
	if why[1] != nil {
		waiting.add(suspect{pieces: halves[1], why: why[1], before: why[0] == nil, after: one.after})
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
		rejected := e.rejected(ctx, all, answer)
		e.telemetry.sent.Add(ctx, int64(all.items()-rejected))
		if taken, whole := all.(records); whole && rejected == 0 {
			one := taken[0] // a pointer into them would keep all
			e.known.Store(&one)
		}
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
