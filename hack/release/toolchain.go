package release

// Toolchain is the Go release that compiles what a release ships: the newest patch of the one in
// go.mod, whatever is installed. Go downloads it as a module.
const Toolchain = "go1.26.11"
