#!/bin/sh
# Copies what the program reads of a machine into a folder of plain files: a fixture for boards/<slug>.
#
#   sh capture.sh                    this machine, into ./fixture
#   sh capture.sh ROOT OUT           the tree under ROOT, into OUT, which must not exist
#
# Needs no root; what only root can read is left out and told. Only the files named below are looked at. Links are
# followed and written out as folders. Addresses of network cards, UUIDs, long numbers such as serial numbers, and
# the name of the host are replaced. Look through OUT before you give it away all the same.

set -u
export LC_ALL=C

root=${1:-/}
out=${2:-fixture}
longest=65536

die() {
    echo "capture.sh: $1" >&2
    exit 1
}

case ${1:-} in
-h | --help)
    sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ $# -le 2 ] || die "expected at most ROOT and OUT; see --help"
[ -d "$root" ] || die "there is no folder '$root'"
if [ -e "$out" ] || [ -L "$out" ]; then die "'$out' is there already; give another folder"; fi
mkdir -p "$out" || die "cannot make '$out'"
out=$(cd "$out" && pwd) || die "cannot enter '$out'"
cd "$root" || die "cannot enter '$root'"

# Paths relative to the root, as the shell expands them.
wanted='
proc/device-tree/compatible
proc/device-tree/model
proc/meminfo
proc/cpuinfo
proc/sys/kernel/osrelease
etc/nv_tegra_release
etc/nvpmodel.conf
var/lib/nvpmodel/status
sys/class/thermal/thermal_zone*/type
sys/class/thermal/thermal_zone*/temp
sys/class/thermal/cooling_device*/type
sys/class/thermal/cooling_device*/cur_state
sys/class/thermal/cooling_device*/max_state
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/name
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/in*_label
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/in*_input
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/curr*_input
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/curr*_crit
sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*/curr*_max
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/name
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/rail_name_*
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/in_voltage*_input
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/in_current*_input
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/in_power*_input
sys/bus/i2c/drivers/ina3221x/*-*/iio*device*/*_current_limit_*
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/name
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/in*_label
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/in*_input
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/curr*_input
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/power*_label
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/power*_input
sys/bus/i2c/drivers/ina238/*-*/hwmon/hwmon*/temp*_input
sys/class/devfreq/*/cur_freq
sys/class/devfreq/*/min_freq
sys/class/devfreq/*/max_freq
sys/class/devfreq/*/device/of_node/name
sys/class/devfreq/*/device/load
sys/devices/gpu.0/load
sys/devices/*.g[apv]1*/load
sys/devices/platform/gpu.0/load
sys/devices/platform/*.gpu/load
sys/devices/platform/bus@0/*.gpu/load
sys/kernel/debug/bpmp/debug/clk/emc/rate
sys/class/hwmon/hwmon*/name
sys/class/hwmon/hwmon*/temp1_input
sys/class/hwmon/hwmon*/oc*_event_cnt
sys/class/hwmon/hwmon*/oc*_throt_en
sys/class/powercap/intel-rapl*/name
sys/class/powercap/intel-rapl*/energy_uj
sys/class/powercap/intel-rapl*/max_energy_range_uj
sys/devices/system/cpu/online
sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count
sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count
sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq
sys/devices/system/cpu/cpufreq/policy*/scaling_governor
sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq
sys/devices/system/cpu/cpufreq/policy*/scaling_min_freq
sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq
'

host=$(uname -n 2>/dev/null | tr -cd 'A-Za-z0-9._-')
host=${host%%.*}
# A name this short would be found where it is none.
[ ${#host} -ge 4 ] || host='no host has this name'

x='[0-9A-Fa-f]'
two="$x$x"
four="$two$two"
other='[^A-Za-z0-9_-]'
# What is of one machine alone, line by line. A number of eleven digits is longer than any clock, count or power.
anonymous() {
    sed \
        -e "s/$two:$two:$two:$two:$two:$two/removed-address/g" \
        -e "s/$four$four-$four-$four-$four-$four$four$four/removed-uuid/g" \
        -e 's/[0-9]\{11,\}/removed-number/g'
}
# The name of the host, as a whole word.
nameless() {
    sed \
        -e "s/^$host\$/removed-host/" \
        -e "s/^$host\\($other\\)/removed-host\\1/" \
        -e "s/\\($other\\)$host\$/\\1removed-host/" \
        -e "s/\\($other\\)$host\\($other\\)/\\1removed-host\\2/g"
}

# Reads one file into $out/.one; fails where it cannot be read.
read_one() {
    dd if="$1" of="$out/.one" bs="$longest" count=2 2>/dev/null
}

copied=0
left=''
changed=''
leave() {
    left="$left  $1: $2
"
}

copy() {
    path=$1
    [ -f "$path" ] || { leave "$path" 'no file'; return; }
    [ -r "$path" ] || { leave "$path" 'not to be read by this user'; return; }
    read_one "$path" || { leave "$path" 'reading fails'; return; }
    size=$(wc -c <"$out/.one")
    [ "$size" -le "$longest" ] || { leave "$path" "longer than $longest bytes"; return; }
    mkdir -p "$out/${path%/*}"
    case $path in
    proc/device-tree/* | */of_node/name)
        # Strings with a NUL behind each. A host may be called as its board is: its name stays.
        tr '\000' '\n' <"$out/.one" | anonymous | tr '\n' '\000' >"$out/$path"
        ;;
    proc/cpuinfo)
        # What the cores are; some systems put the serial number of the board behind them.
        sed -n -e '/^processor/p' -e '/^CPU /p' -e '/^vendor_id/p' -e '/^model name/p' -e '/^Features/p' \
            "$out/.one" | anonymous | nameless >"$out/$path"
        ;;
    sys/class/powercap/*)
        # Counters of energy are longer than any other number.
        cat "$out/.one" >"$out/$path"
        ;;
    etc/nvpmodel.conf)
        # The names of the modes; what they set is long and not read.
        sed -n -e '/^< *POWER_MODEL/p' -e '/^< *PM_CONFIG/p' "$out/.one" | anonymous | nameless >"$out/$path"
        ;;
    *)
        anonymous <"$out/.one" | nameless >"$out/$path"
        ;;
    esac
    if grep 'removed-' "$out/$path" >/dev/null 2>&1; then changed="$changed  $path
"; fi
    copied=$((copied + 1))
}

# A pattern that fits nothing stays as it is.
for path in $wanted; do
    if [ -e "$path" ]; then copy "$path"; else leave "$path" 'not there'; fi
done
rm -f "$out/.one"
[ "$copied" -gt 0 ] || { rmdir "$out"; die "nothing under '$root' is of use"; }

cat >"$out/SOURCES.md" <<'END'
# Where the files are from

Captured by `boards/capture.sh`. Say here on which board, with which release, and doing what:

END

echo "files copied into $out: $copied"
[ -z "$left" ] || printf 'left out:\n%s' "$left"
[ -z "$changed" ] || printf 'something was replaced in:\n%s' "$changed"
