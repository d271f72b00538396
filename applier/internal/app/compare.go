package app

import "github.com/comptech-lab/redis-wal/wal"

func (a *App) compare(wal.Attestation) {}
