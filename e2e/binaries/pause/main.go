// Command pause does nothing until it is told to stop: the first container of every pod, and a stand-in for images that do
// not exist on this machine.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
