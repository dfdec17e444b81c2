//go:build integration

package policy

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// namespaceVariable names the namespace that the tests of this package install tombolo in.
const namespaceVariable = "TOMBOLO_POLICY_NAMESPACE"

// attacks are the tests in which tombolo's accounts try what they may not do.
var attacks = []string{
	"TestDataplaneWritesItsCondition", "TestDataplaneAppliesItsCondition", "TestDataplaneRecordsEvents",
	"TestGatewayWritesItsOwn", "TestGatewayRenewsItsLease", "TestGatewayWritesItsLinks", "TestGatewayRemovesItsKey",
	"TestOperatorWritesTransitAddresses", "TestOperatorRenewsToken", "TestOperatorRemovesKeys", "TestOperatorWritesCorefile",
	"TestOperatorWritesCorefileIfManaged", "TestOperatorWritesItsSlices", "TestOperatorWritesDerivedServices", "TestOperatorReadsOneSecret", "TestTenantsImports",
	"TestTenantsSlices", "TestTenantsDerivedServices",
	"TestTrafficPolicyRights",
}

// The policies hold where the overlay in docs/install.md puts tombolo into another namespace: the
// same attacks fail there. The API server of this process has tombolo already. So another process
// starts its own.
func TestElsewhere(t *testing.T) {
	if os.Getenv(namespaceVariable) != "" {
		return // this is that process
	}
	tests := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^("+strings.Join(attacks, "|")+")$")
	tests.Env = append(os.Environ(), namespaceVariable+"=my-tombolo")
	output, err := tests.CombinedOutput()
	if err != nil {
		t.Fatalf("in another namespace: %v\n%s", err, output)
	}
	for _, name := range attacks {
		if !strings.Contains(string(output), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run in another namespace", name)
		}
	}
}
