package autopilot_test

import (
	"testing"

	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) { statetest.Main(m) }
