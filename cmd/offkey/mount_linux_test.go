package main

import "syscall"

func mountDisk(dir, size string) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size)
}
func unmountDisk(dir string) error { return syscall.Unmount(dir, 0) }
