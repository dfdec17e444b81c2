package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutDescriptions(t *testing.T) {
	const in = `
description: of the object
properties:
  description: {type: string, description: of a field}
items:
- description: in a list
  type: object
`
	const want = `---
items:
- type: object
properties:
  description:
    type: string
`
	got, err := withoutDescriptions([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
