package source

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool gives the client back its own records, of 200 bytes each, once they are converted.
type recordPool struct{ pool sync.Pool }

// GetRecords is a slice of n records.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if r, ok := p.pool.Get().(*[]kgo.Record); ok && cap(*r) >= n {
		return (*r)[:n]
	}
	return make([]kgo.Record, n)
}

// PutRecords takes back a slice that nobody uses any more.
func (p *recordPool) PutRecords(r []kgo.Record) { p.pool.Put(&r) }
