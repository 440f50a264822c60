package doctor

import (
	"context"

	"github.com/keepwell/keepwell/internal/moved"
)

func (c *Case) mendNpm(_ context.Context, _ moved.Proposal) ([]Mend, error) { return nil, nil }

func (c *Case) mendPyPI(_ context.Context, _ moved.Proposal) ([]Mend, error) { return nil, nil }
