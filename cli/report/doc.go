// Package report writes what commands say: tables, findings, and the progress of steps. Colour is
// used on a terminal only.
package report
