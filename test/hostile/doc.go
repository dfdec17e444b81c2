// Package hostile tests what a hostile member, a node that was taken over and a tenant can do to the
// honest member of a lab. West is the hostile one: the tests send packets of any kind as root of its
// gateway, write to the hub with its credential, and use pods of it. East is the victim. Each attack
// is asserted to fail by what east's kernels, API server and pods saw. Meanwhile traffic between the
// clusters goes on.
//
// It needs a lab with tombolo: `bin/lab run --install -- go test -tags e2e ./test/hostile`.
package hostile
