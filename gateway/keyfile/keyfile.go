// Package keyfile keeps a gateway's private key in a file on its node, where nobody reads it who is
// not root there. It owns that file and the mode of its folder. It makes no keys and knows no API.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// Path is where the manifests show the gateway the file of its node.
const Path = "/var/lib/tombolo/gateway.key"

// ErrDamaged means that there is a file, and that it holds no key.
var ErrDamaged = errors.New("the key file is damaged")

const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
	// longest is more than a key takes in the file, in bytes.
	longest = 256
	// unfinished ends the name of a file that is being written.
	unfinished = ".new"
)

// File is the key file of a node. One goroutine at a time uses it.
type File struct{ path string }

// At returns the key file with that path.
func At(path string) File { return File{path} }

// String is the file's path.
func (f File) String() string { return f.path }

// Content is what a key file holds.
type Content struct {
	Key wireguard.PrivateKey
	// Exposed is the mode that the file had, if others than root had rights; 0: they had none.
	Exposed fs.FileMode
}

// Read returns what the file holds, as `wg genkey` prints it. If others have rights to the file, it
// takes these away first. The error is fs.ErrNotExist if there is no file, and ErrDamaged if it holds
// no key. It never tells what is in the file.
func (f File) Read() (Content, error) {
	if err := f.shut(); err != nil {
		return Content{}, err
	}
	file, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return Content{}, fmt.Errorf("%w: %s is a symbolic link", ErrDamaged, f.path)
	}
	if err != nil {
		return Content{}, fmt.Errorf("opening the key file: %w", err)
	}
	defer file.Close()
	state, err := file.Stat()
	if err != nil {
		return Content{}, fmt.Errorf("reading the key file: %w", err)
	}
	if !state.Mode().IsRegular() {
		return Content{}, fmt.Errorf("%w: %s is no file", ErrDamaged, f.path)
	}
	var content Content
	if mode := state.Mode().Perm(); mode&^dirMode != 0 {
		content.Exposed = mode
		if err := file.Chmod(fileMode); err != nil {
			return Content{}, fmt.Errorf("taking rights to the key file away: %w", err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, longest))
	if err != nil {
		return Content{}, fmt.Errorf("reading the key file: %w", err)
	}
	if content.Key, err = wireguard.ParsePrivateKey(string(text)); err != nil {
		return content, fmt.Errorf("%w: %s: %w", ErrDamaged, f.path, err)
	}
	return content, nil
}

// shut makes the folder root's alone, if it is there. The kubelet makes it with mode 0755.
func (f File) shut() error {
	dir := filepath.Dir(f.path)
	state, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && state.Mode().Perm() != dirMode {
		err = os.Chmod(dir, dirMode)
	}
	if err != nil {
		return fmt.Errorf("making the key file's folder mode %04o: %w", dirMode, err)
	}
	return nil
}

// Write makes the file hold the key. Whenever the node stops, the file holds the old content or the
// new one.
func (f File) Write(key wireguard.PrivateKey) error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("making the key file's folder: %w", err)
	}
	if err := f.shut(); err != nil {
		return err
	}
	if err := f.writeUnfinished(key.Text() + "\n"); err != nil {
		return errors.Join(err, removeIfThere(f.path+unfinished))
	}
	if err := os.Rename(f.path+unfinished, f.path); err != nil {
		return errors.Join(fmt.Errorf("writing the key file: %w", err), removeIfThere(f.path+unfinished))
	}
	return syncDir(dir)
}

// writeUnfinished writes the text beside the file, in place of what a write has left that did not end.
func (f File) writeUnfinished(text string) (err error) {
	if err := removeIfThere(f.path + unfinished); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	_, errWrite := file.WriteString(text)
	if err := errors.Join(errWrite, file.Chmod(fileMode), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	return nil
}

// Remove removes the file, and what a write has left that did not end. The folder stays.
func (f File) Remove() error {
	if err := errors.Join(removeIfThere(f.path+unfinished), removeIfThere(f.path)); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(f.path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a key file: %w", err)
	}
	return nil
}

// syncDir makes the folder's names last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("saving the key file's name: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("saving the key file's name: %w", err)
	}
	return nil
}
