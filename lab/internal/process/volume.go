package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Volume is a file system in memory that only the processes see which were started after it was made. Nobody has to clear it away: it goes with
// the last of them and the group, also when the lab is killed.
type Volume struct {
	group *Group
	dir   string
}

// NewVolume lays a file system of the given size in bytes over the folder dir. It needs the right to mount; without, the error is
// [os.ErrPermission].
func (g *Group) NewVolume(dir string, size int64) (*Volume, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	err = g.inside(func() error {
		if !g.apart {
			if err := unshare(); err != nil {
				return err
			}
			g.apart = true
		}
		return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", size))
	})
	if err != nil {
		return nil, fmt.Errorf("mount a volume on %s: %w", dir, err)
	}
	return &Volume{g, dir}, nil
}

// unshare gives the calling thread, and so the children that it starts, mounts of their own.
func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	return unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// Resize gives the volume another size, in bytes.
func (v *Volume) Resize(size int64) error {
	err := v.group.inside(func() error {
		return unix.Mount("tmpfs", v.dir, "tmpfs", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d", size))
	})
	if err != nil {
		return fmt.Errorf("resize the volume on %s: %w", v.dir, err)
	}
	return nil
}

// Fill writes a file of that name until the volume is full, and says how many bytes went into it.
func (v *Volume) Fill(name string) (n int64, err error) {
	err = v.group.inside(func() (err error) {
		f, err := os.Create(filepath.Join(v.dir, name))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		for piece := make([]byte, 64<<10); len(piece) > 0; {
			wrote, err := f.Write(piece)
			n += int64(wrote)
			switch {
			case errors.Is(err, unix.ENOSPC):
				piece = piece[:len(piece)/2] // as much as still fits
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("fill the volume on %s: %w", v.dir, err)
	}
	return n, nil
}

// Remove deletes a file of the volume.
func (v *Volume) Remove(name string) error {
	return v.group.inside(func() error { return os.Remove(filepath.Join(v.dir, name)) })
}

// inside runs f on the thread that starts the children: it sees what they see.
func (g *Group) inside(f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.New("the lab is stopping")
	}
	done := make(chan error)
	g.spawn <- func() { done <- f() }
	return <-done
}
