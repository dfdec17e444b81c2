package clusterset

import (
	"fmt"
	"net/netip"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Refusal is why something is not accepted: the reason and the message of a condition.
type Refusal struct {
	Reason  string
	Message string
}

// Refuse returns a Refusal with a message in the manner of fmt.Sprintf.
func Refuse(reason, format string, values ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, values...)}
}

// ReadCIDRs parses all of the CIDRs of a field, or says which one of the field is wrong.
func ReadCIDRs(field string, cidrs []v1alpha1.CIDR) ([]netip.Prefix, *Refusal) {
	prefixes := make([]netip.Prefix, 0, len(cidrs))
	for _, c := range cidrs {
		p, ok := ParseCIDR(c)
		if !ok {
			return nil, &Refusal{v1alpha1.ReasonInvalidCIDR, fmt.Sprintf(
				"%s: %q is not an IPv4 or IPv6 CIDR without host bits, such as 10.1.0.0/16", field, c)}
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}
