// Package stage names what hack/kind tells the test of docs/quickstart.md: variables of the
// environment, and the image that the page builds.
package stage

// Image is the name that the page gives to tombolo's image.
const Image = "tombolo:try"

// Variables of the environment.
const (
	// Home is the home folder of who reads the page.
	Home = "QUICKSTART_HOME"
	// Path is where they find programs.
	Path = "QUICKSTART_PATH"
	// Create is the command that stands in for `kind create cluster`: it takes a name, and a
	// configuration on its standard input. It is not set where kind can pull its own image.
	Create = "QUICKSTART_CREATE"
	// Keep leaves the clusters: what the page says last is not typed.
	Keep = "QUICKSTART_KEEP"
)
