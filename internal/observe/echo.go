package observe

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	probing "github.com/prometheus-community/pro-bing"
)

// How echo asks: few and quick, since it only says whether the address is there.
const (
	echoes    = 3
	echoEvery = 100 * time.Millisecond
	echoLimit = time.Second
)

// echo sends ICMP echo requests to the first address, where the kernel lets programs
// without privileges do so. That nobody answers is no fault: many servers never do.
func (s *session) echo(ctx context.Context) []Result {
	i := slices.IndexFunc(s.addrs, func(a netip.Addr) bool { return !Forbidden(a) })
	if i < 0 {
		return []Result{{State: NotChecked, Key: "probe.below"}}
	}
	a := s.addrs[i]
	pinger := probing.New(a.String())
	pinger.SetLogger(probing.NoopLogger{})
	pinger.SetIPAddr(&net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	pinger.SetPrivileged(false)
	pinger.Count, pinger.Interval, pinger.Timeout = echoes, echoEvery, min(echoLimit, s.Each)
	if err := pinger.RunWithContext(ctx); err != nil {
		return []Result{{State: NotChecked, Key: "probe.echo.not", Args: []string{said(err)}}}
	}
	stats := pinger.Statistics()
	if stats.PacketsRecv == 0 {
		return []Result{{State: No, Key: "probe.echo.silent", Args: []string{a.String()}}}
	}
	trip := strconv.FormatFloat(float64(stats.AvgRtt.Microseconds())/1000, 'f', 1, 64)
	got := strconv.Itoa(stats.PacketsRecv) + "/" + strconv.Itoa(stats.PacketsSent)
	return []Result{{State: Yes, Key: "probe.echo.back", Args: []string{a.String(), got, trip}}}
}
