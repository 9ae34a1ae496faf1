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

// bordering is at which turn one that borders on what was taken is divided.
const bordering = 4

// queue says which suspect is divided next: the largest, and at every fourth turn the largest of those that border on what
// was taken. So the ends of a run of bad pieces are found in few requests however long it is, and of many that are scattered
// none is pursued while large ones wait.
type queue struct {
	suspects [bits.UintSize + 1][2][]suspect // how many bits its size has; whether it borders
	waiting  int                             // of those that border
	turn     int
}

func (q *queue) add(one suspect) {
	borders := 0
	if one.before || one.after {
		borders = 1
	}
	size := bits.Len(uint(one.items()))
	q.suspects[size][borders] = append(q.suspects[size][borders], one)
	q.waiting += borders
}

// next takes a suspect out; false: there is none.
func (q *queue) next() (suspect, bool) {
	q.turn++
	least := 0
	if q.turn%bordering == 0 && q.waiting > 0 {
		least = 1
	}
	for size := len(q.suspects) - 1; size >= 0; size-- {
		for borders := 1; borders >= least; borders-- {
			if len(q.suspects[size][borders]) > 0 {
				return q.take(size, borders, 0), true
			}
		}
	}
	return suspect{}, false
}

// smallestFault takes out what is soonest down to single pieces of all that was answered with a fault.
func (q *queue) smallestFault() (suspect, bool) {
	for size := range q.suspects {
		for borders := range q.suspects[size] {
			if at := slices.IndexFunc(q.suspects[size][borders], func(one suspect) bool { return one.why.fault() }); at >= 0 {
				return q.take(size, borders, at), true
			}
		}
	}
	return suspect{}, false
}

func (q *queue) take(size, borders, at int) suspect {
	those := q.suspects[size][borders]
	one := those[at]
	if at == 0 {
		those[0] = suspect{} // it is not kept
		q.suspects[size][borders] = those[1:]
	} else {
		q.suspects[size][borders] = slices.Delete(those, at, at+1)
	}
	q.waiting -= borders
	return one
}
