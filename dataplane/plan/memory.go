package plan

// Memory is what a plan needs of the one before it: what it served, what failed since when, and what drains since when.
// It is opaque and not to be changed; reflect.DeepEqual tells whether two are the same. It shares the virtual services
// with the Output that it came with. The zero Memory knows of nothing.
type Memory struct {
	// services of the last plan, sorted by their keys.
	services []VirtualService
}

// Recall is the Memory of a plan that led to those virtual services, as the kernel may still have them: with it a process
// that starts keeps the flows to endpoints that were draining. Nothing is known of what failed. They are kept and must not
// be changed afterwards.
func Recall(services []VirtualService) Memory {
	if len(services) == 0 {
		return Memory{}
	}
	return Memory{services: sortUnique(services)}
}
