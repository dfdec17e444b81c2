package nftables

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Read returns what the kernel has; the zero State if there is no table. It runs no program: it
// takes a netlink request for each kind of object and for each map.
func (t *Table) Read(ctx context.Context) (State, error) {
	return nft.Whole(func() (State, error) { return readOnce(ctx) })
}

func readOnce(ctx context.Context) (State, error) {
	exists, err := tableExists()
	if err != nil || !exists {
		return State{}, err
	}
	state := State{Services: map[Key]Layout{}, Affinity: map[Client]netip.AddrPort{}}
	if state.Maps, err = readMaps(); err != nil {
		return State{}, err
	}
	if state.Chains, err = readChains(); err != nil {
		return State{}, err
	}
	for _, counters := range []bool{false, true} {
		for _, m := range mappings(counters) {
			if m.counter != counters || state.Maps[m.name] != m.shape().String() {
				continue
			}
			if err := ctx.Err(); err != nil {
				return State{}, err
			}
			if err := state.readElements(m); err != nil {
				return State{}, err
			}
		}
	}
	return state, nil
}

func tableExists() (bool, error) {
	exists, err := nft.TableExists(TableName)
	return exists, explain(err)
}

// readMaps are the shapes of the table's sets and maps. Those of a rule's own, which nft names
// __set0 and so on, are left out.
func readMaps() (map[string]string, error) {
	sets, err := nft.List(unix.NFT_MSG_GETSET, nft.AppendText(nil, unix.NFTA_SET_TABLE, TableName))
	if err != nil {
		return nil, fmt.Errorf("listing maps of table %s: %w", TableName, explain(err))
	}
	maps := map[string]string{}
	for _, set := range sets {
		s := shape{
			keyType: number(set, unix.NFTA_SET_KEY_TYPE), keySize: number(set, unix.NFTA_SET_KEY_LEN),
			valueType: number(set, unix.NFTA_SET_DATA_TYPE), valueSize: number(set, unix.NFTA_SET_DATA_LEN),
			flags: number(set, unix.NFTA_SET_FLAGS), counter: nft.Attribute(set, attrSetExpression) != nil,
			room: number(set, unix.NFTA_SET_DESC, unix.NFTA_SET_DESC_SIZE),
		}
		if s.valueType == verdictType {
			s.valueSize = 0 // the kernel's own structure
		}
		if s.flags&setAnonymous == 0 {
			maps[nft.Text(nft.Attribute(set, unix.NFTA_SET_NAME))] = s.String()
		}
	}
	return maps, nil
}

const (
	// attrSetExpression is NFTA_SET_EXPR: what each element carries.
	attrSetExpression = 0x11
	// setAnonymous is NFT_SET_ANONYMOUS.
	setAnonymous = 0x1
	// The hooks of enum nf_inet_hooks.
	hookPrerouting, hookOutput = 0, 3
)

// number is a 32-bit attribute; zero if it is not there.
func number(b []byte, path ...uint16) uint32 {
	value := nft.Attribute(b, path...)
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func readChains() (map[string]string, error) {
	rules, err := nft.List(unix.NFT_MSG_GETRULE, nft.AppendText(nil, unix.NFTA_RULE_TABLE, TableName))
	if err != nil {
		return nil, fmt.Errorf("listing rules of table %s: %w", TableName, explain(err))
	}
	comments := map[string][]string{}
	for _, rule := range rules {
		name := nft.Text(nft.Attribute(rule, unix.NFTA_RULE_CHAIN))
		comments[name] = append(comments[name], commentOf(nft.Attribute(rule, unix.NFTA_RULE_USERDATA)))
	}
	chains, err := nft.List(unix.NFT_MSG_GETCHAIN, nil)
	if err != nil {
		return nil, fmt.Errorf("listing chains of table %s: %w", TableName, explain(err))
	}
	digests := map[string]string{}
	for _, c := range chains {
		if nft.Text(nft.Attribute(c, unix.NFTA_CHAIN_TABLE)) != TableName {
			continue
		}
		name, hook, priority := nft.Text(nft.Attribute(c, unix.NFTA_CHAIN_NAME)), "", 0
		kind := nft.Text(nft.Attribute(c, unix.NFTA_CHAIN_TYPE))
		if h := nft.Attribute(c, unix.NFTA_CHAIN_HOOK); h != nil {
			hook = hookName(number(h, unix.NFTA_HOOK_HOOKNUM))
			priority = int(int32(number(h, unix.NFTA_HOOK_PRIORITY)))
		}
		digests[name] = digest(kind, hook, priority, comments[name])
	}
	return digests, nil
}

func hookName(number uint32) string {
	switch number {
	case hookPrerouting:
		return "prerouting"
	case hookOutput:
		return "output"
	}
	return fmt.Sprint("hook ", number)
}

// commentOf finds the comment in what nft keeps with a rule: type, length and text, the type of a
// comment being zero (libnftnl, NFTNL_UDATA_RULE_COMMENT).
func commentOf(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == 0 {
			return nft.Text(b[2 : 2+int(b[1])])
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

// dumps is how often a map is listed until no element comes twice. The kernel lists a map in parts,
// and begins each by counting from the front: if it moves the elements to a larger table meanwhile,
// which it does some time after many were added, as many as come twice are left out.
const dumps = 10

func (s *State) readElements(m mapping) error {
	for range dumps {
		messages, err := nft.Elements(TableName, m.name)
		if err != nil {
			return explain(err)
		}
		s.forget(m.name)
		if s.addAll(m.name, messages) {
			return nil
		}
	}
	return fmt.Errorf("listing elements of map %s: some come twice, as the kernel is moving them", m.name)
}

// addAll adds the elements of the messages. It returns false if one comes twice.
func (s *State) addAll(set string, messages [][]byte) (once bool) {
	for _, message := range messages {
		for _, attrs := range nft.Attributes(nft.Attribute(message, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			ours, twice := s.add(set, parseElement(set, attrs))
			if twice {
				return false
			}
			if !ours {
				s.Maps[set] += ", with elements of somebody else"
			}
		}
	}
	return true
}

// forget removes the map's elements from the State.
func (s *State) forget(set string) {
	kind, f := kindOf(set)
	if kind == "affinity" {
		for client := range s.Affinity {
			if client.Address.Is4() == f.is4 {
				delete(s.Affinity, client)
			}
		}
	}
	for key, layout := range s.Services {
		if key.Address.Is4() == f.is4 {
			*layout.field(kind) = ""
			if kind == "slots" {
				layout.Slots = nil
			}
			s.Services[key] = layout
		}
	}
}

// kindOf a map is its name without the family.
func kindOf(set string) (kind string, f family) {
	f = families[0]
	if set[len(set)-1] == '6' {
		f = families[1]
	}
	return set[:len(set)-1], f
}

// field is where the layout has the verdict of that kind of map.
func (l *Layout) field(kind string) *string {
	switch kind {
	case "services":
		return &l.Chain
	case "sticky":
		return &l.Sticky
	case "remember":
		return &l.Remember
	}
	return new(string)
}

// parseElement reads an element's attributes. Its slices are parts of b.
func parseElement(set string, b []byte) element {
	e := element{set: set, key: nft.Attribute(b, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)}
	data := nft.Attribute(b, unix.NFTA_SET_ELEM_DATA)
	if verdict := nft.Attribute(data, unix.NFTA_DATA_VERDICT); verdict != nil {
		e.chain = nft.Text(nft.Attribute(verdict, unix.NFTA_VERDICT_CHAIN))
		if code := int32(number(verdict, unix.NFTA_VERDICT_CODE)); code != unix.NFT_GOTO {
			e.chain = fmt.Sprintf("verdict %d %s", code, e.chain)
		}
		return e
	}
	e.value = nft.Attribute(data, unix.NFTA_DATA_VALUE)
	return e
}

// add adds the element to the State. It is ours if this package could have written it.
func (s *State) add(set string, e element) (ours, twice bool) {
	kind, f := kindOf(set)
	if kind == "affinity" {
		return s.addAffinity(f, e)
	}
	key, rest, ok := parseKey(e.key, f)
	if !ok {
		return false, false
	}
	layout := s.Services[key]
	if kind == "slots" {
		endpoint, ok := parseEndpoint(e.value, f)
		if !ok || len(rest) != 4 || binary.NativeEndian.Uint32(rest) >= MaxSlots {
			return false, false
		}
		i := slotOf(rest)
		for len(layout.Slots) <= i {
			layout.Slots = append(layout.Slots, netip.AddrPort{})
		}
		twice = layout.Slots[i].IsValid()
		layout.Slots[i] = endpoint
	} else {
		verdict := layout.field(kind)
		twice = *verdict != ""
		*verdict = e.chain
	}
	s.Services[key] = layout
	return true, twice
}

func (s *State) addAffinity(f family, e element) (ours, twice bool) {
	address, rest, ok := parseAddress(e.key, f)
	if !ok {
		return false, false
	}
	key, _, ok := parseKey(rest, f)
	endpoint, valid := parseEndpoint(e.value, f)
	if !ok || !valid {
		return false, false
	}
	client := Client{address, key}
	_, twice = s.Affinity[client]
	s.Affinity[client] = endpoint
	return true, twice
}
