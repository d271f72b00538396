// Package mounted reads what the deployer mounts as files: passwords, certificates and private keys. Nothing that was read is kept
// between two connections, so that a rotated secret is taken up without a restart. Errors name the variable, the file and what to
// do, and never what a file holds.
package mounted

import (
	"bytes"
	"fmt"
	"os"
)

// Password reads the password in the file that the variable env names. Line ends after it do not belong to it: they are what an
// editor or `echo` leaves behind. An empty file is an error: it is a secret that is not there yet, or is just being written.
func Password(env, file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w; mount the password there", env, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return "", fmt.Errorf("%s: %s is empty; write the password into it", env, file)
	}
	return string(b), nil
}
