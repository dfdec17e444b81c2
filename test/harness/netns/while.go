//go:build kernel || integration

package netns

// While calls others in the namespace, over and over, as another process would, until do has returned,
// which it calls in the namespace, too.
func (n *Namespace) While(others, do func()) {
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
	n.Do(do)
	close(stop)
	<-stopped
}
