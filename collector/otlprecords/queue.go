package otlprecords

import (
	"math/bits"
	"slices"
)

// suspect is what was refused and is to be divided.
type suspect struct {
	pieces
	why *refusal
	// before and after say that what stands there was taken, or that nothing stands there: if this is of a run of bad
	// pieces, the run ends in it.
	before, after bool
}

// queue says which suspect is divided next: in turn the largest that borders on what was taken, and the largest of the
// others. So the ends of a run of bad pieces are found in few requests however long it is, and of many that are scattered
// none is pursued while large ones wait.
type queue struct {
	suspects [2][bits.UintSize + 1][]suspect // whether it borders; how many bits its size has
	waiting  [2]int
	turn     int
}

func (q *queue) add(one suspect) {
	borders := 0
	if one.before || one.after {
		borders = 1
	}
	size := bits.Len(uint(one.items()))
	q.suspects[borders][size] = append(q.suspects[borders][size], one)
	q.waiting[borders]++
}

// next takes a suspect out; false: there is none.
func (q *queue) next() (suspect, bool) {
	q.turn = 1 - q.turn
	borders := q.turn
	if q.waiting[borders] == 0 {
		borders = 1 - borders
	}
	for size, those := range slices.Backward(q.suspects[borders][:]) {
		if len(those) > 0 {
			return q.take(borders, size, 0), true
		}
	}
	return suspect{}, false
}

// smallestFault takes out what is soonest down to single pieces of all that was answered with a fault.
func (q *queue) smallestFault() (suspect, bool) {
	for size := range q.suspects[0] {
		for borders := range q.suspects {
			if at := slices.IndexFunc(q.suspects[borders][size], func(one suspect) bool { return one.why.fault() }); at >= 0 {
				return q.take(borders, size, at), true
			}
		}
	}
	return suspect{}, false
}

func (q *queue) take(borders, size, at int) suspect {
	those := q.suspects[borders][size]
	one := those[at]
	if at == 0 {
		those[0] = suspect{} // it is not kept
		q.suspects[borders][size] = those[1:]
	} else {
		q.suspects[borders][size] = slices.Delete(those, at, at+1)
	}
	q.waiting[borders]--
	return one
}
