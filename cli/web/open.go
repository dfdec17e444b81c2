package web

import (
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// openBrowser opens the address in the user's browser. The address has the token, and everybody on this
// machine may see the arguments of programs, so the browser is given a file that only the user can read
// and that leads there. closed removes it.
func openBrowser(address string) (closed func(), err error) {
	folder, err := os.MkdirTemp("", "tombolo-web-")
	if err != nil {
		return func() {}, fmt.Errorf("making a folder for the address: %w", err)
	}
	closed = func() { _ = os.RemoveAll(folder) } // what is left holds a token that is of no more use
	file := filepath.Join(folder, "open.html")
	text := fmt.Sprintf("<!doctype html><title>tombolo</title><meta http-equiv=refresh content=\"0;url=%s\">\n", html.EscapeString(address))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return closed, fmt.Errorf("writing the address to a file: %w", err)
	}
	command := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if command == nil {
		command = []string{"xdg-open"}
	}
	browser := exec.Command(command[0], append(command[1:], file)...) //nolint:gosec // the file is ours
	if err := browser.Start(); err != nil {
		return closed, fmt.Errorf("running %s: %w", command[0], err)
	}
	go func() { _ = browser.Wait() }() // it says nothing that matters
	return closed, nil
}
