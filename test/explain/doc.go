// Package explain breaks a lab in many ways, one at a time, and demands that `kubectl tombolo explain`
// names each fault's hop and object, and nothing else.
package explain
