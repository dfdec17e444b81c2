package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// errKey: there is no private key, or the node does not keep it.
var errKey = errors.New("no private key")

// keyFile keeps the private key on the node (package keyfile).
type keyFile interface {
	Read() (keyfile.Content, error)
	Write(wireguard.PrivateKey) error
	String() string
}

// settleKey makes this gateway's private key known to the agent and its file, and to nobody else. It
// does nothing once that is so. An error may come with a key: the gateway works with it.
func (a *Agent) settleKey(ctx context.Context) error {
	if a.keySettled {
		return nil
	}
	old, err := a.keyInAPI(ctx)
	if err != nil {
		return err
	}
	if err := a.ensureKey(ctx, old); err != nil {
		return err
	}
	if err := a.forgetInAPI(ctx, old); err != nil {
		return err
	}
	a.keySettled = true
	return nil
}

// ensureKey sets this gateway's private key: the one that an older version has left in the API, else
// the one in its file, else the one that a device of ours already uses, else a new one. The file then
// holds it. A new key that cannot be kept is not used.
func (a *Agent) ensureKey(ctx context.Context, old keyInAPI) error {
	file, errFile := a.cfg.Key.Read()
	a.tellOfFile(ctx, file, errFile)
	key, found := old.key, old.valid
	if !found {
		key, found = file.Key, errFile == nil
	}
	if !found {
		var err error
		if key, found, err = a.keyInUse(ctx); err != nil {
			return err
		}
	}
	if found {
		a.setKey(key)
	}
	switch {
	case errFile == nil && file.Key == key:
		return nil
	case errFile != nil && !errors.Is(errFile, fs.ErrNotExist) && !errors.Is(errFile, keyfile.ErrDamaged):
		return a.notKept(errFile)
	case !found:
		var err error
		if key, err = wireguard.GeneratePrivateKey(); err != nil {
			return err
		}
	}
	if err := a.cfg.Key.Write(key); err != nil {
		return a.notKept(err)
	}
	logr.FromContextOrDiscard(ctx).Info("private key written", "file", a.cfg.Key.String(), "new", !found)
	a.setKey(key)
	return nil
}

// notKept is the error for a file that cannot be read or written.
func (a *Agent) notKept(err error) error {
	return fmt.Errorf("%w is kept in %s of node %s: %w; the folder must be on a disk of the node, and root's",
		errKey, a.cfg.Key, a.cfg.NodeName, err)
}

// keyInUse returns the key of a device that an earlier run has left. Peers know that key, so their
// sessions go on.
func (a *Agent) keyInUse(ctx context.Context) (key wireguard.PrivateKey, found bool, err error) {
	state, err := a.cfg.Kernel.Tunnels.Read(ctx)
	if err != nil {
		return key, false, fmt.Errorf("looking for a key in use: %w", err)
	}
	for _, d := range state.Devices {
		if d.PrivateKey != (wireguard.PrivateKey{}) {
			return d.PrivateKey, true, nil
		}
	}
	return key, false, nil
}

// Reasons of the events about the key file.
const (
	reasonKeyFileDamaged = "KeyFileDamaged"
	reasonKeyFileExposed = "KeyFileExposed"
	actionReadKey        = "ReadKey"
)

// tellOfFile tells, once for each start, that the file holds no key, or that others could read it.
func (a *Agent) tellOfFile(ctx context.Context, file keyfile.Content, err error) {
	if errors.Is(err, keyfile.ErrDamaged) && !a.toldOfKey {
		a.toldOfKey = true
		a.tell(ctx, reasonKeyFileDamaged, actionReadKey,
			fmt.Sprintf("%v; it is written again, with the key that is in use if there is one, else with a new one", err))
	}
	if file.Exposed != 0 {
		a.tell(ctx, reasonKeyFileExposed, actionReadKey, fmt.Sprintf("%s had mode %04o, so others than root could read the private key; "+
			"it has mode 0600 now; change the key if others are on the node", a.cfg.Key, file.Exposed))
	}
}
