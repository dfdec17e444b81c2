// Package lab runs whole Kubernetes clusters on one Linux machine, without Docker and without root:
// control planes as processes, nodes as user-mode kernels, and a switch of its own between them. It
// owns a run: its folder, the order in which its parts start and end, and the control socket by
// which others work on it. The parts are packages of their own: controlplane, kernel and node,
// underlay, image, addons.
//
// Tests run inside a lab and connect to it:
//
//	lab run -- go test -tags e2e ./test/e2e
//
//	l, err := lab.Connect(os.Getenv(lab.RunEnv))
//	err = l.Cut(ctx, "east-1", "west-1")
package lab
