package hub

import (
	"fmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Status is the state of the connection: reason and message of the condition HubConnected.
type Status struct {
	Reason  string // one of v1alpha1's
	Message string
}

// Connected tells whether we read and write the hub.
func (s Status) Connected() bool {
	return s.Reason == v1alpha1.ReasonConnected || s.Reason == v1alpha1.ReasonTokenNotRenewed
}

// answers tells whether what the hub says counts: it is there, it is the right one, and it knows
// us.
func (s Status) answers() bool { return s.Connected() || s.Reason == v1alpha1.ReasonRemoved }

// NotConnectedError says that the hub cannot be read or written now, and why.
type NotConnectedError struct{ Status Status }

func (e *NotConnectedError) Error() string {
	return fmt.Sprintf("not connected with the hub (%s): %s", e.Status.Reason, e.Status.Message)
}
