package ipvs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Done is what was applied.
type Done struct {
	// Count of the operations.
	Count int
	// First are the first few of them, for messages.
	First []Operation
}

// firstFew is how many operations a Done names.
const firstFew = 16

func (d *Done) add(op Operation) {
	d.Count++
	if len(d.First) < firstFew {
		d.First = append(d.First, op)
	}
}

// Apply does what the Change says, in its order and in as few system calls as the socket's buffer
// allows. It tries every operation. What is there already is changed instead of added, and what is
// gone already counts as deleted. It returns what it applied, and the joined errors of the rest.
func (t *Table) Apply(ctx context.Context, change Change) (Done, error) {
	var done Done
	var failed failures
	batch := make([]Operation, 0, batchSize)
	for op := range change {
		if batch = append(batch, op); len(batch) < batchSize {
			continue
		}
		if err := t.applyBatch(ctx, batch, &done, &failed); err != nil {
			return done, errors.Join(failed.summary(), err)
		}
		batch = batch[:0]
	}
	if len(batch) > 0 {
		if err := t.applyBatch(ctx, batch, &done, &failed); err != nil {
			return done, errors.Join(failed.summary(), err)
		}
	}
	if done.Count > 0 {
		t.count()
	}
	return done, failed.summary()
}

// applyBatch tries up to batchSize operations; the error is one of the socket's.
func (t *Table) applyBatch(ctx context.Context, ops []Operation, done *Done, failed *failures) error {
	if err := errors.Join(ctx.Err(), t.open()); err != nil {
		return err
	}
	answers, err := t.socket.execute(ops)
	if err != nil {
		t.hangUp()
		return fmt.Errorf("writing to the IPVS table: %w", err)
	}
	for i, errno := range answers {
		if err := t.settle(ops[i], errno); err != nil {
			failed.add(fmt.Errorf("%s: %w", ops[i], err))
			continue
		}
		done.add(ops[i])
	}
	return nil
}

// settle judges the kernel's answer to an operation. It returns nil if the aim of the operation is
// reached.
func (t *Table) settle(op Operation, errno unix.Errno) error {
	switch {
	case errno == 0:
		return nil
	case errno == unix.EEXIST && (op.Verb == AddService || op.Verb == AddDestination):
		op.Verb++ // to Set, of the same thing
		answers, err := t.socket.execute([]Operation{op})
		if err != nil {
			return err
		}
		return t.settle(op, answers[0])
	case (errno == unix.ESRCH || errno == unix.ENOENT) && (op.Verb == DeleteService || op.Verb == DeleteDestination):
		return nil
	case errno == unix.ENOENT && (op.Verb == AddService || op.Verb == SetService):
		return fmt.Errorf("scheduler %s: %w: load it on the host with `modprobe ip_vs_%s`", op.Service.Scheduler, ErrNoScheduler, op.Service.Scheduler)
	}
	return errno
}

// maxErrors is how many errors of one Apply are spelt out.
const maxErrors = 5

// failures are what an Apply could not do.
type failures struct {
	first []error
	more  int
}

func (f *failures) add(err error) {
	if len(f.first) < maxErrors {
		f.first = append(f.first, err)
	} else {
		f.more++
	}
}

func (f *failures) summary() error {
	if f.more > 0 {
		return errors.Join(append(slices.Clip(f.first), fmt.Errorf("and %d more errors", f.more))...)
	}
	return errors.Join(f.first...)
}
