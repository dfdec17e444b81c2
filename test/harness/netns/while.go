//go:build kernel || integration

package netns

import (
	"sync"
	"time"
)

const (
	// seenOften is how often ReadWhile wants to have read both, and seenWithin how long that may take.
	seenOften  = 50
	seenWithin = time.Minute
)

// Twice calls do in the namespace twice at the same time, as two processes would. The test fails if one
// of the calls does.
func (n *Namespace) Twice(do func() error) {
	n.t.Helper()
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			n.Do(func() {
				if err := do(); err != nil {
					n.t.Error(err)
				}
			})
		})
	}
	calls.Wait()
}

// ReadWhile reads in the namespace what another process makes and removes there meanwhile, until it
// has been there 50 times and gone as often. The test fails if read fails, or if that takes more than
// a minute. Others is called over and over, and makes and removes it once.
func (n *Namespace) ReadWhile(others func(), read func() (there bool, err error)) {
	n.t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go n.Do(func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				others()
			}
		}
	})
	seen := map[bool]int{}
	n.Do(func() {
		for end := time.Now().Add(seenWithin); (seen[true] < seenOften || seen[false] < seenOften) && time.Now().Before(end); {
			there, err := read()
			if err != nil {
				n.t.Error(err)
				break
			}
			seen[there]++
		}
	})
	close(stop)
	<-stopped
	if seen[true] < seenOften || seen[false] < seenOften {
		n.t.Errorf("it was there %d times and gone %d times, want %d of both", seen[true], seen[false], seenOften)
	}
}
