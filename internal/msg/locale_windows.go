package msg

import (
	"syscall"
	"unsafe"
)

// systemLocale asks Windows for the user's locale, such as "zh-CN": there, LANG is
// rarely set (GetUserDefaultLocaleName, winnls.h).
func systemLocale() string {
	var name [85]uint16 // LOCALE_NAME_MAX_LENGTH
	proc := syscall.NewLazyDLL("kernel32.dll").NewProc("GetUserDefaultLocaleName")
	if proc.Find() != nil {
		return ""
	}
	n, _, _ := proc.Call(uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)))
	if n == 0 {
		return ""
	}
	return syscall.UTF16ToString(name[:])
}
