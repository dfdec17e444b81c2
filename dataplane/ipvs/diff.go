package ipvs

import (
	"fmt"
	"iter"
)

// Verb is what an Operation does.
type Verb uint8

// The verbs. Add fails in the kernel on what is there, Set and Delete on what is not.
const (
	AddService Verb = iota + 1
	SetService
	DeleteService
	AddDestination
	SetDestination
	DeleteDestination
)

// String is the verb in words.
func (v Verb) String() string {
	return [...]string{"?", "adding", "changing", "deleting", "adding a destination to", "changing a destination of",
		"deleting a destination of"}[v]
}

// Operation is one request to the kernel.
type Operation struct {
	Verb Verb
	Key  Key
	// Service, without its destinations, is meant by AddService and SetService.
	Service Service
	// Destination is meant by the last three verbs.
	Destination Destination
}

// String names what is done to what.
func (o Operation) String() string {
	if o.Verb >= AddDestination {
		return fmt.Sprintf("%s virtual service %s: %s", o.Verb, o.Key, o.Destination)
	}
	return fmt.Sprintf("%s virtual service %s", o.Verb, o.Key)
}

// Change is what turns one Config into another: operations in the order in which they are safe.
// They are made as they are asked for, since all of a large change take many times the room of what
// comes of it.
type Change = iter.Seq[Operation]

// Diff is what turns have into want. Services come in the order of their keys; within one, new
// destinations come before old ones go, so that it is never without any, and a service goes only
// after all others were changed. Diff reads its arguments only.
func Diff(have, want Config) Change {
	return func(yield func(Operation) bool) {
		var ops []Operation
		for _, key := range want.Keys() {
			old, exists := have.Services[key]
			ops = appendService(ops[:0], key, old, exists, want.Services[key])
			for _, op := range ops {
				if !yield(op) {
					return
				}
			}
		}
		for _, key := range have.Keys() {
			if _, wanted := want.Services[key]; !wanted && !yield(Operation{Verb: DeleteService, Key: key}) {
				return
			}
		}
	}
}

func appendService(ops []Operation, key Key, old Service, exists bool, want Service) []Operation {
	attributes := want
	attributes.Destinations = nil
	switch {
	case !exists:
		ops = append(ops, Operation{Verb: AddService, Key: key, Service: attributes})
	case !old.alike(want):
		ops = append(ops, Operation{Verb: SetService, Key: key, Service: attributes})
	}
	var gone []Operation
	have := old.Destinations
	for _, d := range want.Destinations {
		for len(have) > 0 && have[0].Compare(d) < 0 {
			gone = append(gone, Operation{Verb: DeleteDestination, Key: key, Destination: have[0]})
			have = have[1:]
		}
		switch {
		case len(have) == 0 || have[0].Compare(d) != 0:
			ops = append(ops, Operation{Verb: AddDestination, Key: key, Destination: d})
			continue
		case have[0] != d:
			ops = append(ops, Operation{Verb: SetDestination, Key: key, Destination: d})
		}
		have = have[1:]
	}
	for _, d := range have {
		gone = append(gone, Operation{Verb: DeleteDestination, Key: key, Destination: d})
	}
	return append(ops, gone...)
}
