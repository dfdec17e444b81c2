package clusterset

import "testing"

func TestHubNames(t *testing.T) {
	if got := HubSliceName("east", "shop", "cart", 2); got != HubName("east", "shop", "cart")+".2" {
		t.Errorf("slice name %s", got)
	}
	if got := len(HubName("east", "shop", "cart")); got != len("east.")+16 {
		t.Errorf("name has %d characters", got)
	}
}

// A node's address comes after the lanes', is the same number in every block and family, and can be
// read back.
