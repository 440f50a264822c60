package modproxy

import (
	order "container/list"
	"sync"

	"github.com/keepwell/keepwell/internal/modstore"
)

// memory keeps what is asked for most: whole small files, and of larger ones what is
// known of them.
type memory struct {
	most int64

	mu    sync.Mutex
	bytes int64
	all   map[string]*order.Element // of modstore.Entry
	order *order.List               // the latest first
}

func newMemory(most int64) *memory {
	return &memory{most: most, all: map[string]*order.Element{}, order: order.New()}
}

func cost(e modstore.Entry) int64 {
	const overhead = 512
	return int64(len(e.Data)) + overhead
}

func (m *memory) get(key string) (modstore.Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.all[key]
	if at == nil {
		return modstore.Entry{}, false
	}
	m.order.MoveToFront(at)
	e, ok := at.Value.(modstore.Entry)
	return e, ok
}

func (m *memory) add(e modstore.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(e.Key)
	m.all[e.Key] = m.order.PushFront(e)
	m.bytes += cost(e)
	for m.bytes > m.most && m.order.Len() > 0 {
		if last, ok := m.order.Back().Value.(modstore.Entry); ok {
			m.remove(last.Key)
		}
	}
}

func (m *memory) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
}

func (m *memory) remove(key string) {
	if at := m.all[key]; at != nil {
		if e, ok := m.order.Remove(at).(modstore.Entry); ok {
			m.bytes -= cost(e)
		}
		delete(m.all, key)
	}
}
