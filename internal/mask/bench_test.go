package mask_test

import (
	"math/rand/v2"
	"testing"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/mask/masktest"
)

// BenchmarkText masks the texts of a few hundred errors.
func BenchmarkText(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var texts []string
	n := 0
	for range 300 {
		texts = append(texts, masktest.Plant(r).Text)
		n += len(texts[len(texts)-1])
	}
	b.SetBytes(int64(n))
	for b.Loop() {
		for _, s := range texts {
			mask.Text(s)
		}
	}
}
