package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const pauseImage = "docker.io/e2e/pause:1"

// LoadBinary makes an image of one static binary and loads it at all sites. It is the image's entrypoint.
func (c *Clusters) LoadBinary(ctx context.Context, binary, image string) error {
	return c.LoadBinaries(ctx, image, binary)
}

// LoadBinaries does the same with more static binaries, which the first one starts: they stand in the PATH.
func (c *Clusters) LoadBinaries(ctx context.Context, image, binary string, more ...string) error {
	file := filepath.Join(c.opts.State, "image.tar")
	if err := pack(file, image, binary, more...); err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	if err := c.each(func(s *Site) error { return s.load(ctx, file) }); err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	return nil
}

// LoadRedis makes a Redis image of this machine's redis-server, redis-cli and busybox and loads it at all sites.
func (c *Clusters) LoadRedis(ctx context.Context, name string) error {
	root := filepath.Join(c.opts.State, "redis-root")
	if err := redisRoot(ctx, root); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	file := filepath.Join(c.opts.State, "image.tar")
	if err := packDir(file, name, root, "/usr/local/bin/redis-server"); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	if err := c.each(func(s *Site) error { return s.load(ctx, file) }); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return os.RemoveAll(root)
}

// redisRoot is laid out as the official image: the programs in /usr/local/bin, the data in /data, a user redis.
func redisRoot(ctx context.Context, root string) error {
	for _, dir := range []string{"bin", "usr/local/bin", "etc", "data", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"data", "tmp"} {
		if err := os.Chmod(filepath.Join(root, dir), 0o777); err != nil {
			return err
		}
	}
	if err := copyFile("/bin/busybox", filepath.Join(root, "bin/busybox")); err != nil {
		return err
	}
	applets, err := exec.CommandContext(ctx, "/bin/busybox", "--list").Output()
	if err != nil {
		return fmt.Errorf("busybox --list: %w", err)
	}
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			return err
		}
	}
	for _, program := range []string{"redis-server", "redis-cli"} {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		if err := copyFile(path, filepath.Join(root, "usr/local/bin", program)); err != nil {
			return err
		}
		libraries, err := exec.CommandContext(ctx, "ldd", path).Output()
		if err != nil {
			return fmt.Errorf("ldd %s: %w", path, err)
		}
		for word := range strings.FieldsSeq(string(libraries)) {
			if !strings.HasPrefix(word, "/") {
				continue
			}
			if err := copyFile(word, filepath.Join(root, word)); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/:/bin/sh\nredis:x:1000:1000::/data:/bin/sh\n"), 0o644)
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// pack makes an image of a static binary, and of more beside it. Those stand in the PATH.
func pack(file, image, binary string, more ...string) error {
	dir, err := os.MkdirTemp(filepath.Dir(file), "root-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // in memory, and gone with the sandbox at the latest
	base := filepath.Base(binary)
	if err := copyFile(binary, filepath.Join(dir, base)); err != nil {
		return err
	}
	for _, m := range more {
		if err := copyFile(m, filepath.Join(dir, "usr/local/bin", filepath.Base(m))); err != nil {
			return err
		}
	}
	return packDir(file, image, dir, "/"+base)
}

// packDir makes an image of one layer from a folder.
func packDir(file, image, root, entrypoint string) error {
	content, err := archive(root)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{entrypoint}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	tag, err := name.NewTag(image)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(file, tag, img)
}

func archive(root string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
}

// load imports an image file at all nodes.
func (s *Site) load(ctx context.Context, file string) error {
	for _, n := range s.Nodes {
		if err := n.load(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

// load imports an image file into the node's containerd.
func (n *Node) load(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(n.site.bin, "ctr"), "--address", n.socket(), "--namespace", "k8s.io", "images", "import", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: load an image: %w: %s", n.Name, err, out)
	}
	return nil
}
