#!/bin/sh
# Runs in the guest as a unit: uses the shipped unit as an operator would, and says what it finds.
say() { echo "guest: $*" >/dev/console; }
fail() {
    say "FAILED: $*"
    systemctl status aftertrace --no-pager -l >/dev/console 2>&1
    journalctl -b --no-pager -o cat >/dev/console 2>&1
    systemctl poweroff --force --force
    exit 1
}
property() { systemctl show aftertrace --property="$1" --value; }
get() { wget -q -O - "http://127.0.0.1:9102$1"; }
# Waits up to $1 seconds until the rest is true.
within() {
    rest=$1
    shift
    while ! "$@"; do
        [ "$rest" -gt 0 ] || return 1
        rest=$((rest - 1))
        sleep 1
    done
}

systemctl start aftertrace || fail "the unit does not become ready"
[ "$(property ActiveState)/$(property SubState)" = active/running ] || fail "not running once ready"
first=$(property MainPID)
say "ready, process $first, systemd $(systemctl --version | head -n 1)"

[ "$(get /readyz)" = ready ] || fail "/readyz"
get /metrics >/tmp/metrics || fail "/metrics"
grep -q '^node_uptime_seconds' /tmp/metrics || fail "/metrics has no node"
say "answers: $(wc -l </tmp/metrics) lines of metrics"

# The bus is started by the first who asks, so its answer may come a moment after the unit is ready.
asks_systemd() { get / >/tmp/page && grep -q '<td>systemd</td><td class="active">' /tmp/page; }
within 30 asks_systemd || fail "systemd is not asked about units"
grep -o '<td>[^<]*</td><td class="failed">[^<]*</td><td>[^<]*' /tmp/page >/tmp/failed &&
    fail "probes or sources failed: $(cat /tmp/failed)"
say "no probe or source failed under the unit's restrictions"

held() { grep "$1" "/proc/$first/status" | cut -f 2; }
for task in /proc/$first/task/*; do
    grep -q 'NoNewPrivs:.1' "$task/status" || fail "$(cat "$task/comm") can gain privileges"
done
[ "$(held CapBnd)" = 000000c000283004 ] || fail "another bounding set: $(held CapBnd)"
case "$(uname -r) $(held CapPrm)" in
    # CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; before 5.19 also CAP_BPF.
    *\ 0000000000080004) ;;
    5.10.*\ 0000008000080004) ;;
    *) fail "the recording thread holds $(held CapPrm)" ;;
esac
say "the bounding set is the unit's, the recording thread holds $(held CapPrm)"

# Three periods of the watchdog.
sleep 13
[ "$(property NRestarts)/$(property MainPID)" = "0/$first" ] || fail "the watchdog ended what was well"
say "lived through its watchdog"

kill -STOP "$first"
restarted() { [ "$(property NRestarts)" = 1 ] && [ "$(property ActiveState)" = active ]; }
within 60 restarted || fail "not started again after it hung"
second=$(property MainPID)
[ "$second" != "$first" ] && [ "$(get /readyz)" = ready ] || fail "not ready after it hung"
journalctl -u aftertrace --no-pager | grep -q 'Watchdog timeout' || fail "it was not the watchdog"
say "hung and was started again as process $second"

systemctl stop aftertrace || fail "it cannot be stopped"
ended="$(property Result)/$(property ExecMainCode)/$(property ExecMainStatus)"
[ "$ended" = success/1/0 ] || fail "stopped with $ended"
say "stopped with exit code 0"
say "done"
systemctl poweroff --force --force
