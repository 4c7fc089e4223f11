//! Memory that this process has in use, as Linux tells it.

/// Bytes of a line of a file of `/proc`; `None` elsewhere than on Linux.
fn line(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn status(key: &str) -> Option<u64> {
    line("/proc/self/status", key)
}

/// Bytes that the whole machine could give to whoever asks, what it keeps of files included.
pub(super) fn available() -> Option<u64> {
    line("/proc/meminfo", "MemAvailable")
}

/// Bytes in use now.
pub(super) fn now() -> Option<u64> {
    status("VmRSS")
}

/// The most bytes that were in use at one time.
pub(super) fn peak() -> Option<u64> {
    status("VmHWM")
}
