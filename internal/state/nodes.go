package state

import (
	"context"
	"time"
)

// Node is a running server, or one that ran.
type Node struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"` // unique to one start of one process
	Started time.Time `json:"started"`
	Beat    time.Time `json:"beat"`
	Gone    time.Time `json:"gone,omitzero"`
}

func scanNode(s scanner) (n Node, err error) {
	var us [3]int64
	err = s.Scan(&n.ID, &n.Name, &us[0], &us[1], &us[2])
	whens([]*time.Time{&n.Started, &n.Beat, &n.Gone}, us[:])
	return n, err
}

// AddNode writes down a node that starts. It counts as gone until it holds its lock and
// says so by Return: else others could find it without a lock.
func (tx *Tx) AddNode(ctx context.Context, name string) (Node, error) {
	return one(ctx, tx.Reader, scanNode, "INSERT INTO nodes(name, started_at, beat_at, gone_at) VALUES(?1, ?2, ?2, ?2) RETURNING id, name, started_at, beat_at, gone_at", name, micros(tx.now()))
}

// Beat notes that a node lives, for people to see; ErrConflict where others have
// declared it gone. Whether it lives is told by its lock: [State.Hold].
func (tx *Tx) Beat(ctx context.Context, id int64) error {
	return tx.must(ctx, "UPDATE nodes SET beat_at = ?2 WHERE id = ?1 AND gone_at = 0", id, micros(tx.now()))
}

// Return says that a node lives, which holds its lock: it has started, or was cut off
// from the database.
func (tx *Tx) Return(ctx context.Context, id int64) error {
	return tx.must(ctx, "UPDATE nodes SET gone_at = 0, beat_at = ?2 WHERE id = ?1", id, micros(tx.now()))
}

// Nodes lists nodes, newest first; live ones only where gone is false.
func (r Reader) Nodes(ctx context.Context, gone bool) ([]Node, error) {
	var w where
	if !gone {
		w.conditions = append(w.conditions, "gone_at = 0")
	}
	return list(ctx, r, scanNode, "SELECT id, name, started_at, beat_at, gone_at FROM nodes"+w.String()+" ORDER BY id DESC LIMIT 1000")
}
