package gate

import (
	"hash/maphash"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

const several = 0

// scopes are those of the resource at hand. Prometheus tells two of them apart by their names alone.
type scopes struct {
	label uint64 // hash of the label that the scope's name becomes
	name  string
	// identities are those of the scopes by name, or several; empty where the resource has one scope.
	identities map[string]uint64
	identity   uint64
	contested  bool              // other scopes of the resource have the same name
	owners     map[uint64]uint64 // series -> identity of the scope that has sent it; of contested ones
	series     uint64            // hash of the metric at hand without bounds
}

// identityOf is a hash of what OpenTelemetry tells scopes of one name apart by.
func identityOf(scope pmetric.ScopeMetrics) uint64 {
	h := mix(maphash.String(seed, scope.Scope().Version()) ^ maphash.String(seed, scope.SchemaUrl())<<1)
	for key, value := range scope.Scope().Attributes().All() {
		h += labelHash(key, value)
	}
	return mix(h) | 1
}

// begin notes which names several scopes of a resource have.
func (s *scopes) begin(resource pmetric.ResourceMetrics) {
	clear(s.identities)
	s.owners = nil
	if resource.ScopeMetrics().Len() < 2 {
		return
	}
	if s.identities == nil {
		s.identities = map[string]uint64{}
	}
	for _, scope := range resource.ScopeMetrics().All() {
		name, identity := scope.Scope().Name(), identityOf(scope)
		if first, ok := s.identities[name]; ok && first != identity {
			identity = several
		}
		s.identities[name] = identity
	}
}

// taken tells whether another scope of the same name has sent a series in this request.
func (s *scopes) taken(series uint64) bool {
	owner, ok := s.owners[series]
	if ok {
		return owner != s.identity
	}
	if s.owners == nil {
		s.owners = map[uint64]uint64{}
	}
	s.owners[series] = s.identity
	return false
}

// meter leaves a scope of metrics its name, which becomes a label; false: it is too long for one.
func (w *walk) meter(scope pmetric.ScopeMetrics) bool {
	s := &w.scopes
	identity, ok := s.identities[scope.Scope().Name()]
	if s.contested = ok && identity == several; s.contested {
		s.identity = identityOf(scope)
	}
	if len(scope.Scope().Name()) > longestName {
		points := 0
		for _, m := range scope.Metrics().All() {
			points += pointCount(m)
		}
		w.lost(sizeRefused, points, scope.Scope().Name())
		return false
	}
	scope.Scope().SetVersion("")
	scope.SetSchemaUrl("")
	w.scope(scope.Scope())
	s.name, s.label = scope.Scope().Name(), 0
	if s.name != "" {
		s.label = mix(maphash.String(seed, s.name) ^ scopeLabel)
	}
	return true
}
