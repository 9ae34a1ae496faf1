package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

const hexDigits = "0123456789abcdef"

// bodies are the requests of one lane: copies that are refreshed in place, and ids that all parts of a slot share.
type bodies struct {
	plan    *Plan
	current [][]byte
	seeds   []uint64
	random  *rand.Rand
	devices int // of this lane
	first   int // number of the lane's first device
	perSlot int
}

func newBodies(plan *Plan, lane int, seed uint64) *bodies {
	found := &bodies{
		plan:    plan,
		seeds:   make([]uint64, plan.Groups),
		random:  rand.New(rand.NewPCG(seed, uint64(lane)+1)),
		devices: plan.Devices / plan.lanes(),
		perSlot: plan.devicesPerSlot(),
	}
	found.first = lane * found.devices
	for _, part := range plan.Parts {
		found.current = append(found.current, append([]byte(nil), part.Body...))
	}
	return found
}

// refresh makes the lane's slot of this number, for the time now.
func (b *bodies) refresh(slot int64, now time.Time) {
	for group := range b.seeds {
		b.seeds[group] = b.random.Uint64()
	}
	nanoseconds := now.UnixNano()
	for number := range b.plan.Parts {
		part, body := &b.plan.Parts[number], b.current[number]
		for index := range part.Patches {
			b.apply(&part.Patches[index], part.Body, body, slot, nanoseconds)
		}
	}
}

func (b *bodies) apply(patch *Patch, template, body []byte, slot, now int64) {
	place := body[patch.Offset:]
	switch patch.Kind {
	case kindTime:
		binary.LittleEndian.PutUint64(place, uint64(now+patch.Shift))
	case kindInt:
		_, sequence := b.device(patch.Group, slot)
		binary.LittleEndian.PutUint64(place, uint64(sequence))
	case kindDouble:
		_, sequence := b.device(patch.Group, slot)
		binary.LittleEndian.PutUint64(place, math.Float64bits(float64(sequence)))
	case kindTraceID:
		seed := b.seeds[patch.Group]
		binary.LittleEndian.PutUint64(place, mixed(seed, 1))
		binary.LittleEndian.PutUint64(place[8:], mixed(seed, 2))
	case kindSpanID:
		own := binary.LittleEndian.Uint64(template[patch.Offset:])
		binary.LittleEndian.PutUint64(place, own^mixed(b.seeds[patch.Group], 3))
	case kindHex:
		putHex(place[:patch.Size], b.drawn(patch), patch.Salt)
	case kindName:
		putName(place[:patch.Size], b.drawn(patch))
	case kindDevice:
		device, _ := b.device(patch.Group, slot)
		putName(place[:patch.Size], uint64(device))
	case kindSequence:
		_, sequence := b.device(patch.Group, slot)
		putDecimal(place[:patch.Size], uint64(sequence))
	}
}

// drawn is the group's random number, or one of the population's.
func (b *bodies) drawn(patch *Patch) uint64 {
	seed := b.seeds[patch.Group]
	if patch.Population > 0 {
		return mixed(seed, 4) % patch.Population
	}
	return seed
}

// device is the number of the slot's device, and its sequence number there. A lane's devices take turns, so that no
// device is in two requests at the same time, and each counts up by one from request to request.
func (b *bodies) device(index int, slot int64) (int, int64) {
	position := slot*int64(b.perSlot) + int64(index)
	return b.first + int(position%int64(b.devices)), b.plan.FirstSequence + position/int64(b.devices)
}

// mixed is a well-spread function of two numbers (splitmix64).
func mixed(seed, salt uint64) uint64 {
	value := seed + (salt+1)*0x9e3779b97f4a7c15
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb
	return value ^ (value >> 31)
}

func putHex(place []byte, seed, salt uint64) {
	var bits uint64
	for index := range place {
		if index%16 == 0 {
			bits = mixed(seed, salt+uint64(index))
		}
		place[index] = hexDigits[bits&15]
		bits >>= 4
	}
}

// putName writes a letter and digits: b0000, b0001, ... c0000, ...
func putName(place []byte, number uint64) {
	limit := uint64(1)
	for range place[1:] {
		limit *= 10
	}
	place[0] = 'b' + byte(number/limit%('z'-'b'+1))
	putDecimal(place[1:], number)
}

func putDecimal(place []byte, value uint64) {
	for index := len(place) - 1; index >= 0; index-- {
		place[index] = byte('0' + value%10)
		value /= 10
	}
}
