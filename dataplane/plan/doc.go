// Package plan decides what a node's kernel should do for the clusterset: which virtual services
// serve which clusterset IPs with which endpoints, and which routes and addresses lead between the
// clusters' pods.
//
// Services chooses endpoints in steps, each in a file of its own: what is to be served
// (targets.go), what the slices offer and what of it cannot be used (endpoints.go, skipped.go), in
// which level each endpoint is (ranking.go), which levels carry new flows (choice.go, health.go),
// with which weights (weights.go), and who only keeps flows (drain.go). What one plan has to tell
// the next is a Memory; Explain puts a choice into words.
//
// It is pure: objects in, configuration out, sorted, the same bytes for the same input. It reads
// its arguments only, does no I/O and knows neither clients nor clocks. What the kernel has is not
// its concern; the packages beside it compare.
package plan
