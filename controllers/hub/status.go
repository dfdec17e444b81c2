package hub

import (
	"fmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Status is how things stand with the hub: reason and message of the condition HubConnected.
type Status struct {
	Reason  string // one of v1alpha1's
	Message string
}

// Connected tells whether we read and write the hub.
func (s Status) Connected() bool { return s.Reason == v1alpha1.ReasonConnected }

// answers tells whether the hub's word counts: it is there, it is the right one, and knows us.
func (s Status) answers() bool { return s.Connected() || s.Reason == v1alpha1.ReasonRemoved }

// NotConnectedError says that nothing can be learnt from the hub now, and why.
type NotConnectedError struct{ Status Status }

func (e *NotConnectedError) Error() string {
	return fmt.Sprintf("not connected with the hub (%s): %s", e.Status.Reason, e.Status.Message)
}
