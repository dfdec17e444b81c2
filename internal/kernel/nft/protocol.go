package nft

// Protocol is a transport protocol that a service may have.
type Protocol struct {
	// Name is that of nftables.
	Name string
	// Number is that of IANA.
	Number byte
}

// Protocols are all that a service may have.
func Protocols() [3]Protocol { return [...]Protocol{{"tcp", 6}, {"udp", 17}, {"sctp", 132}} }

// ProtocolNumber is the protocol's number; zero if it has none of the names.
func ProtocolNumber(name string) byte {
	for _, p := range Protocols() {
		if p.Name == name {
			return p.Number
		}
	}
	return 0
}

// ProtocolName is the protocol's name; empty if it has none of the numbers.
func ProtocolName(number byte) string {
	for _, p := range Protocols() {
		if p.Number == number {
			return p.Name
		}
	}
	return ""
}
