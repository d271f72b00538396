package realise

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
)

// readyWithin is more than a pod takes on a busy machine; a pod that is not ready then says why in its log.
const readyWithin = 90 * time.Second

// AwaitReady waits for the readiness probe of every pod of a site.
func (l *Lab) AwaitReady(ctx context.Context, siteName string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not ready after %s", readyWithin))
	defer cancel()
	for _, p := range l.Pods(siteName) {
		if err := await.True(ctx, "readiness", p.Ready); err != nil {
			return fmt.Errorf("site %s: %w; see its log, %s", siteName, err, filepath.Base(l.cfg.Group.LogFile(p.Name)))
		}
	}
	return nil
}

// AwaitMirror waits until the direction that ends at a site runs. A deployment does not wait for it: the peer may come up hours later.
func (l *Lab) AwaitMirror(ctx context.Context, siteName string) error {
	m := l.Mirror(siteName)
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not running after %s", readyWithin))
	defer cancel()
	return await.True(ctx, m.String(), func(context.Context) error { return m.Err() })
}
